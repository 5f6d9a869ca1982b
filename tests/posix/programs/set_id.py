#!/usr/bin/env python3
"""Every change of contents or owner clears set-user-id and set-group-id bits: set_id.py DIRECTORY SAME_DIRECTORY_ELSEWHERE.

Run by root on mounts with allow_other. Each change is made by another user, on the mount where the bits were set and on the other
one, with the file opened before and after they were set; root's writes keep them.
"""
import fcntl
import mmap
import os
import stat
import sys

mounts = sys.argv[1:3]
somebody = 65533
failed = []


def as_user(uid, action):
    """In a child, because a process that only changes its effective user keeps capabilities."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            os.setgroups([])
            os.setgid(uid)
            os.setuid(uid)
            action()
            status = 0
        except OSError as error:
            print(f"  {error}", file=sys.stderr)
        os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def write(descriptor):
    os.write(descriptor, b"changed")


def append_by_fcntl(descriptor):
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_APPEND)
    os.write(descriptor, b"changed")


def truncate_by_open(path):
    os.close(os.open(path, os.O_WRONLY | os.O_TRUNC))


def direct(descriptor):
    memory = mmap.mmap(-1, 4096)
    os.writev(descriptor, [memory])


def copy_range(descriptor):
    source = os.open(os.path.dirname(os.readlink(f"/proc/self/fd/{descriptor}")) + "/source", os.O_RDONLY)
    os.copy_file_range(source, descriptor, 50, 0)


def splice(descriptor):
    reading, writing = os.pipe()
    os.write(writing, b"changed")
    os.splice(reading, descriptor, 7)


def send_file(descriptor):
    inside = os.memfd_create("source")
    os.write(inside, b"changed")
    os.sendfile(descriptor, inside, 0, 7)


by_descriptor = {
    "write": (os.O_WRONLY, write),
    "write with O_SYNC": (os.O_WRONLY | os.O_SYNC, write),
    "append": (os.O_WRONLY | os.O_APPEND, write),
    "append switched on": (os.O_WRONLY, append_by_fcntl),
    "direct write": (os.O_WRONLY | os.O_DIRECT, direct),
    "ftruncate": (os.O_WRONLY, lambda descriptor: os.ftruncate(descriptor, 3)),
    "ftruncate longer": (os.O_WRONLY, lambda descriptor: os.ftruncate(descriptor, 300000)),
    "splice": (os.O_WRONLY, splice),
    "sendfile": (os.O_WRONLY, send_file),
}
if hasattr(os, "copy_file_range"):
    by_descriptor["copy_file_range"] = (os.O_WRONLY, copy_range)
by_path = {
    "truncate": lambda path: os.truncate(path, 5),
    "open with O_TRUNC": truncate_by_open,
}


def mode_of(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def check(what, expected):
    seen = [mode_of(f"{mount}/program") for mount in mounts]
    if seen != [expected] * len(mounts):
        failed.append(f"{what}: {' and '.join(map(oct, seen))} instead of {oct(expected)}")


def fresh(size):
    for mount in mounts[:1]:
        path = f"{mount}/program"
        if os.path.exists(path):
            os.unlink(path)
        with open(path, "wb") as file:
            file.write(b"x" * size)
        os.chmod(path, 0o777)


def set_bits(mount, mode):
    os.chmod(f"{mount}/program", mode)


def run():
    for size in (10, 100000):
        for setter in mounts:
            for writer in mounts:
                where = f"{size} bytes, bits set through {setter}, changed through {writer}"
                for name, (flags, change) in by_descriptor.items():
                    for before in (False, True):
                        fresh(size)
                        path = f"{writer}/program"
                        if not before:
                            set_bits(setter, 0o6777)

                        def action():
                            descriptor = os.open(path, flags)
                            if before:
                                os.write(wake, b"!")
                                os.read(go, 1)
                            change(descriptor)
                            os.close(descriptor)

                        opened, wake = os.pipe()
                        go, start = os.pipe()
                        if before:
                            # The child has it open while the bits are set.
                            child = os.fork()
                            if child == 0:
                                os._exit(as_user(somebody, action))
                            os.read(opened, 1)
                            set_bits(setter, 0o6777)
                            os.write(start, b"!")
                            status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
                        else:
                            status = as_user(somebody, action)
                        for descriptor in (opened, wake, go, start):
                            os.close(descriptor)
                        label = f"{name}, {'opened before' if before else 'opened after'}; {where}"
                        if status != 0:
                            failed.append(f"{label}: refused")
                        check(label, 0o777)
                for name, change in by_path.items():
                    fresh(size)
                    set_bits(setter, 0o6777)
                    if as_user(somebody, lambda: change(f"{writer}/program")) != 0:
                        failed.append(f"{name}; {where}: refused")
                    check(f"{name}; {where}", 0o777)

    for mount in mounts:
        # Without group execute the set-group-id bit means mandatory locking, and stays.
        fresh(10)
        set_bits(mounts[0], 0o6767)
        as_user(somebody, lambda: truncate_by_open(f"{mount}/program"))
        check(f"group may not execute, {mount}", 0o2767)
        fresh(10)
        set_bits(mounts[0], 0o6777)
        with open(f"{mount}/program", "ab") as file:
            file.write(b"by root")
        with open(f"{mount}/program", "r+b") as file:
            file.write(b"by root")
        check(f"root's writes, {mount}", 0o6777)
        os.chown(f"{mount}/program", somebody, somebody)
        check(f"root's chown, {mount}", 0o777)
        set_bits(mounts[0], 0o6777)
        as_user(somebody, lambda: os.chown(f"{mount}/program", -1, somebody))
        check(f"the owner's chown, {mount}", 0o777)
        set_bits(mounts[0], 0o6777)
        as_user(somebody, lambda: os.chown(f"{mount}/program", -1, -1))
        check(f"a chown to nobody else, {mount}", 0o777)

        # Write, then chmod, with one descriptor, as tar and install do.
        def make():
            descriptor = os.open(f"{mount}/made", os.O_CREAT | os.O_WRONLY, 0o755)
            os.write(descriptor, b"program")
            os.fchmod(descriptor, 0o6755)
            os.close(descriptor)

        os.chmod(mount, 0o777)
        as_user(somebody, make)
        if mode_of(f"{mount}/made") != 0o6755:
            failed.append(f"written, fchmod, closed through {mount}: {oct(mode_of(f'{mount}/made'))}")
        os.unlink(f"{mount}/made")
        directory = f"{mount}/directory"
        os.mkdir(directory)
        os.chmod(directory, 0o2777)
        as_user(somebody, lambda: os.close(os.open(f"{directory}/file", os.O_CREAT | os.O_WRONLY)))
        os.chown(directory, somebody, somebody)
        if mode_of(directory) != 0o2777:
            failed.append(f"a directory through {mount}: {oct(mode_of(directory))}")
        os.unlink(f"{directory}/file")
        os.rmdir(directory)


with open(f"{mounts[0]}/source", "wb") as source_file:
    source_file.write(b"changed" * 20)
os.chmod(f"{mounts[0]}/source", 0o644)
run()
for line in failed:
    print(line)
print(f"set-id bits: {len(failed)} wrong")
sys.exit(1 if failed else 0)
