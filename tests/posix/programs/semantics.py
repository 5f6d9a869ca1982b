#!/usr/bin/env python3
"""Checks of POSIX semantics in a directory: semantics.py DIRECTORY [OTHER_MOUNT_OF_THE_SAME].

Every check is a function; a failure names the check and the expected result. The program also passes on a local file system.
"""
import errno
import hashlib
import os
import random
import stat
import sys
import threading
import time

base = sys.argv[1]
checks = []


def check(function):
    checks.append(function)
    return function


def expect_errno(expected, call, *arguments, **keywords):
    try:
        call(*arguments, **keywords)
    except OSError as error:
        assert error.errno == expected, f"{errno.errorcode[error.errno]} instead of {errno.errorcode[expected]}"
        return
    raise AssertionError(f"succeeded instead of {errno.errorcode[expected]}")


def write(path, data, flags=os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode=0o644):
    descriptor = os.open(path, flags, mode)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view):]
    finally:
        os.close(descriptor)


def read(path):
    with open(path, "rb") as file:
        return file.read()


@check
def create_read_unlink(d):
    write(d + "/f", b"hello")
    assert read(d + "/f") == b"hello"
    assert os.stat(d + "/f").st_size == 5
    os.unlink(d + "/f")
    expect_errno(errno.ENOENT, os.stat, d + "/f")
    expect_errno(errno.ENOENT, os.unlink, d + "/f")


@check
def exclusive_create(d):
    write(d + "/f", b"x")
    expect_errno(errno.EEXIST, os.open, d + "/f", os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    expect_errno(errno.EEXIST, os.mkdir, d + "/f")


@check
def modes_and_owners(d):
    old = os.umask(0o027)
    try:
        write(d + "/f", b"", mode=0o666)
        assert stat.S_IMODE(os.stat(d + "/f").st_mode) == 0o640
        os.mkdir(d + "/d", 0o777)
        assert stat.S_IMODE(os.stat(d + "/d").st_mode) == 0o750
    finally:
        os.umask(old)
    os.chmod(d + "/f", 0o4711)
    assert stat.S_IMODE(os.stat(d + "/f").st_mode) == 0o4711
    os.chown(d + "/f", 1234, 2345)
    status = os.stat(d + "/f")
    assert (status.st_uid, status.st_gid) == (1234, 2345)


@check
def times(d):
    write(d + "/f", b"x")
    os.utime(d + "/f", ns=(1_000_000_000_123_456_789, 1_600_000_000_987_654_321))
    status = os.stat(d + "/f")
    assert status.st_atime_ns == 1_000_000_000_123_456_789, status.st_atime_ns
    assert status.st_mtime_ns == 1_600_000_000_987_654_321, status.st_mtime_ns
    before = os.stat(d).st_mtime_ns
    write(d + "/g", b"x")
    assert os.stat(d).st_mtime_ns >= before
    write(d + "/f", b"y")
    assert os.stat(d + "/f").st_mtime_ns > 1_600_000_000_987_654_321


@check
def directories(d):
    links = os.stat(d).st_nlink
    os.mkdir(d + "/a")
    os.mkdir(d + "/a/b")
    assert os.stat(d).st_nlink == links + 1
    expect_errno(errno.ENOTEMPTY, os.rmdir, d + "/a")
    expect_errno(errno.EEXIST, os.mkdir, d + "/a")
    expect_errno(errno.ENOENT, os.mkdir, d + "/missing/b")
    write(d + "/f", b"")
    expect_errno(errno.ENOTDIR, os.mkdir, d + "/f/b")
    expect_errno(errno.ENOTDIR, os.rmdir, d + "/f")
    expect_errno(errno.EISDIR, os.unlink, d + "/a")
    expect_errno(errno.EISDIR, os.open, d + "/a", os.O_WRONLY)
    os.rmdir(d + "/a/b")
    os.rmdir(d + "/a")
    assert os.stat(d).st_nlink == links
    assert os.listdir(d) == ["f"]


@check
def listing(d):
    names = {f"entry-{number}" for number in range(1500)}
    for name in names:
        write(f"{d}/{name}", b"")
    assert set(os.listdir(d)) == names
    with os.scandir(d) as entries:
        assert all(entry.is_file() for entry in entries)
    for number, name in enumerate(sorted(names)):
        if number % 2:
            os.unlink(f"{d}/{name}")
    assert len(os.listdir(d)) == 750


@check
def listing_while_unlinking(d):
    for number in range(300):
        write(f"{d}/{number}", b"")
    with os.scandir(d) as entries:
        for entry in entries:
            os.unlink(entry.path)
    assert os.listdir(d) == []


@check
def rename_files(d):
    write(d + "/a", b"a")
    write(d + "/b", b"b")
    inode = os.stat(d + "/a").st_ino
    os.rename(d + "/a", d + "/b")
    assert read(d + "/b") == b"a" and os.stat(d + "/b").st_ino == inode
    expect_errno(errno.ENOENT, os.stat, d + "/a")
    expect_errno(errno.ENOENT, os.rename, d + "/a", d + "/c")
    os.mkdir(d + "/d")
    os.mkdir(d + "/e")
    os.rename(d + "/b", d + "/d/c")
    assert read(d + "/d/c") == b"a"
    os.rename(d + "/d/c", d + "/e/c")
    assert os.listdir(d + "/d") == [] and read(d + "/e/c") == b"a"
    write(d + "/d/c", b"old")
    os.rename(d + "/e/c", d + "/d/c")
    assert read(d + "/d/c") == b"a" and os.listdir(d + "/e") == []


@check
def rename_directories(d):
    os.makedirs(d + "/a/b/c")
    write(d + "/a/b/c/f", b"deep")
    os.mkdir(d + "/t")
    os.rename(d + "/a/b", d + "/t/b")
    assert read(d + "/t/b/c/f") == b"deep"
    assert os.stat(d + "/a").st_nlink == 2 and os.stat(d + "/t").st_nlink == 3
    expect_errno(errno.EINVAL, os.rename, d + "/t", d + "/t/b/c/x")
    expect_errno(errno.EINVAL, os.rename, d + "/t", d + "/t/x")
    os.mkdir(d + "/full")
    write(d + "/full/f", b"")
    expect_errno(errno.ENOTEMPTY, os.rename, d + "/t", d + "/full")
    os.mkdir(d + "/empty")
    os.rename(d + "/t", d + "/empty")
    assert read(d + "/empty/b/c/f") == b"deep"
    write(d + "/file", b"")
    expect_errno(errno.ENOTDIR, os.rename, d + "/a", d + "/file")
    expect_errno(errno.EISDIR, os.rename, d + "/file", d + "/a")
    descriptor = os.open(d + "/empty/b/c", os.O_RDONLY)
    parent = os.stat("..", dir_fd=descriptor).st_ino
    os.close(descriptor)
    assert parent == os.stat(d + "/empty/b").st_ino


@check
def rename_flags(d):
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)

    def renameat2(old, new, flags):
        if libc.renameat2(-100, old.encode(), -100, new.encode(), flags) != 0:
            raise OSError(ctypes.get_errno(), "renameat2")
    write(d + "/a", b"a")
    write(d + "/b", b"b")
    expect_errno(errno.EEXIST, renameat2, d + "/a", d + "/b", 1)
    renameat2(d + "/a", d + "/b", 2)
    assert read(d + "/a") == b"b" and read(d + "/b") == b"a"
    os.mkdir(d + "/d")
    write(d + "/d/c", b"c")
    renameat2(d + "/a", d + "/d/c", 2)
    assert read(d + "/a") == b"c" and read(d + "/d/c") == b"b"
    renameat2(d + "/a", d + "/new", 1)
    assert read(d + "/new") == b"c"


@check
def links(d):
    write(d + "/a", b"one")
    os.link(d + "/a", d + "/b")
    assert os.stat(d + "/a").st_nlink == 2
    os.mkdir(d + "/d")
    os.link(d + "/a", d + "/d/c")
    assert os.stat(d + "/d/c").st_nlink == 3 and os.stat(d + "/d/c").st_ino == os.stat(d + "/a").st_ino
    write(d + "/d/c", b"changed")
    assert read(d + "/a") == b"changed"
    os.unlink(d + "/a")
    os.unlink(d + "/b")
    assert read(d + "/d/c") == b"changed" and os.stat(d + "/d/c").st_nlink == 1
    expect_errno(errno.EEXIST, os.link, d + "/d/c", d + "/d/c")
    expect_errno(errno.EPERM, os.link, d + "/d", d + "/e")


@check
def symlinks(d):
    os.symlink("target/with/ünicode", d + "/s")
    assert os.readlink(d + "/s") == "target/with/ünicode"
    assert stat.S_ISLNK(os.lstat(d + "/s").st_mode)
    expect_errno(errno.ENOENT, os.stat, d + "/s")
    write(d + "/f", b"through")
    os.symlink("f", d + "/t")
    assert read(d + "/t") == b"through"
    os.symlink("loop", d + "/loop")
    expect_errno(errno.ELOOP, os.stat, d + "/loop")
    expect_errno(errno.EINVAL, os.readlink, d + "/f")
    os.symlink("x" * 4000, d + "/long")
    assert os.readlink(d + "/long") == "x" * 4000


@check
def special_files(d):
    os.mkfifo(d + "/fifo", 0o600)
    assert stat.S_ISFIFO(os.stat(d + "/fifo").st_mode)
    if os.geteuid() == 0:
        os.mknod(d + "/null", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        status = os.stat(d + "/null")
        assert stat.S_ISCHR(status.st_mode) and status.st_rdev == os.makedev(1, 3)


@check
def truncation(d):
    data = os.urandom(3_000_000)
    write(d + "/f", data)
    for size in (2_999_999, 1_048_577, 1_048_576, 70_000, 65_536, 20_000, 16_384, 100, 0):
        os.truncate(d + "/f", size)
        assert read(d + "/f") == data[:size], size
    os.truncate(d + "/f", 2_000_000)
    assert read(d + "/f") == bytes(2_000_000)
    write(d + "/f", b"tail", flags=os.O_WRONLY)
    assert read(d + "/f") == b"tail" + bytes(1_999_996)
    os.truncate(d + "/f", 2)
    os.truncate(d + "/f", 10)
    assert read(d + "/f") == b"ta" + bytes(8)


@check
def sparse(d):
    descriptor = os.open(d + "/f", os.O_RDWR | os.O_CREAT)
    os.pwrite(descriptor, b"end", 50_000_000)
    assert os.fstat(descriptor).st_size == 50_000_003
    assert os.pread(descriptor, 10, 20_000_000) == bytes(10)
    os.close(descriptor)
    descriptor = os.open(d + "/f", os.O_RDONLY)
    assert os.pread(descriptor, 10, 49_999_998) == bytes(2) + b"end"
    os.close(descriptor)


@check
def random_writes_match_a_model(d):
    generator = random.Random(7)
    model = bytearray()
    descriptor = os.open(d + "/f", os.O_RDWR | os.O_CREAT)
    for step in range(300):
        offset = generator.choice([0, len(model), generator.randrange(0, 3_000_000)])
        data = generator.randbytes(generator.choice([1, 100, 4096, 20_000, 65_536, 200_000]))
        os.pwrite(descriptor, data, offset)
        if offset > len(model):
            model.extend(bytes(offset - len(model)))
        model[offset:offset + len(data)] = data
        if step % 37 == 36:
            size = generator.randrange(0, len(model))
            os.ftruncate(descriptor, size)
            del model[size:]
        if step % 50 == 49:
            os.fsync(descriptor)
        if step % 20 == 19:
            assert os.fstat(descriptor).st_size == len(model)
            start = generator.randrange(0, len(model) + 1)
            assert os.pread(descriptor, 300_000, start) == bytes(model[start:start + 300_000]), step
    os.close(descriptor)
    assert hashlib.sha256(read(d + "/f")).digest() == hashlib.sha256(model).digest()


@check
def append(d):
    write(d + "/f", b"")
    descriptors = [os.open(d + "/f", os.O_WRONLY | os.O_APPEND) for _ in range(4)]

    def run(number):
        for step in range(25):
            os.write(descriptors[number], f"{number}:{step:03};".encode())
    threads = [threading.Thread(target=run, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for descriptor in descriptors:
        os.close(descriptor)
    records = read(d + "/f").split(b";")[:-1]
    assert len(records) == 100 and len(set(records)) == 100
    write(d + "/f", b"x" * 100_000, flags=os.O_WRONLY | os.O_APPEND)
    write(d + "/f", b"y", flags=os.O_WRONLY | os.O_APPEND)
    data = read(d + "/f")
    assert len(data) == 600 + 100_001 and data.endswith(b"xy")


@check
def readers_follow_appends(d):
    write(d + "/f", b"first\n")
    reader = os.open(d + "/f", os.O_RDONLY)
    log = os.open(d + "/f", os.O_WRONLY | os.O_APPEND)
    model = bytearray(b"first\n")
    assert os.pread(reader, 4096, 0) == model
    for step in range(100):
        line = f"line {step}\n".encode() * (1 + step % 7)
        os.write(log, line)
        model += line
        # Exactly to the end: the kernel has no reason to ask for the size.
        assert os.pread(reader, len(model), 0) == model, step
    os.close(log)
    os.close(reader)


@check
def append_switched_by_fcntl(d):
    import fcntl
    write(d + "/f", b"0123456789")
    descriptor = os.open(d + "/f", os.O_RDWR)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, os.O_APPEND)
    os.write(descriptor, b"end")
    assert read(d + "/f") == b"0123456789end"
    fcntl.fcntl(descriptor, fcntl.F_SETFL, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, b"AB")
    os.close(descriptor)
    descriptor = os.open(d + "/f", os.O_WRONLY | os.O_APPEND)
    fcntl.fcntl(descriptor, fcntl.F_SETFL, 0)
    os.lseek(descriptor, 2, os.SEEK_SET)
    os.write(descriptor, b"C")
    os.close(descriptor)
    assert read(d + "/f") == b"ABC3456789end"


@check
def locks_within_a_mount(d):
    import fcntl
    write(d + "/f", b"x")
    one = os.open(d + "/f", os.O_RDWR)
    two = os.open(d + "/f", os.O_RDWR)
    fcntl.flock(one, fcntl.LOCK_EX)
    expect_errno(errno.EWOULDBLOCK, fcntl.flock, two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    fcntl.flock(one, fcntl.LOCK_UN)
    fcntl.flock(two, fcntl.LOCK_EX | fcntl.LOCK_NB)
    os.close(two)
    fcntl.lockf(one, fcntl.LOCK_EX)
    child = os.fork()
    if child == 0:
        try:
            fcntl.lockf(os.open(d + "/f", os.O_RDWR), fcntl.LOCK_EX | fcntl.LOCK_NB)
            os._exit(1)
        except OSError:
            os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    os.close(one)


@check
def future_time_through_a_descriptor(d):
    descriptor = os.open(d + "/f", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x")
    future = time.time_ns() + 3_600_000_000_000
    os.utime(descriptor, ns=(future, future))
    assert os.stat(d + "/f").st_mtime_ns == future
    os.write(descriptor, b"y")
    os.close(descriptor)
    assert os.stat(d + "/f").st_mtime_ns < future


@check
def unlinked_but_open(d):
    data = os.urandom(2_500_000)
    write(d + "/f", data)
    descriptor = os.open(d + "/f", os.O_RDWR)
    os.unlink(d + "/f")
    assert os.pread(descriptor, len(data), 0) == data
    os.pwrite(descriptor, b"changed", 1_000_000)
    os.fsync(descriptor)
    assert os.pread(descriptor, 7, 1_000_000) == b"changed"
    assert os.fstat(descriptor).st_nlink == 0
    os.close(descriptor)
    # Replaced while open.
    write(d + "/a", b"old")
    descriptor = os.open(d + "/a", os.O_RDONLY)
    write(d + "/b", b"new")
    os.rename(d + "/b", d + "/a")
    assert os.pread(descriptor, 10, 0) == b"old" and read(d + "/a") == b"new"
    os.close(descriptor)


@check
def two_handles_see_each_other(d):
    one = os.open(d + "/f", os.O_RDWR | os.O_CREAT)
    two = os.open(d + "/f", os.O_RDWR)
    os.pwrite(one, b"written by one", 0)
    assert os.pread(two, 100, 0) == b"written by one"
    assert os.fstat(two).st_size == 14
    os.pwrite(two, b"WRITTEN", 0)
    assert os.pread(one, 100, 0) == b"WRITTEN by one"
    os.close(one)
    os.close(two)
    assert read(d + "/f") == b"WRITTEN by one"


@check
def memory_map(d):
    import mmap
    write(d + "/f", bytes(200_000))
    descriptor = os.open(d + "/f", os.O_RDWR)
    with mmap.mmap(descriptor, 200_000) as mapping:
        mapping[100_000:100_005] = b"mmap!"
        mapping.flush()
    os.close(descriptor)
    assert read(d + "/f")[99_999:100_006] == b"\0mmap!\0"


@check
def odd_names(d):
    names = [b"a" * 255, b"\xff\xfe\x01", b" ", b"\n", b"-rf", b"...", "ünïcødé".encode(), b"\\", b"%2F", b"*?[",
             bytes(value for value in range(1, 256) if value != ord("/"))[:255]]
    where = d.encode()
    for name in names:
        write(where + b"/" + name, name)
    assert sorted(os.listdir(where)) == sorted(names)
    for name in names:
        assert read(where + b"/" + name) == name
    expect_errno(errno.ENAMETOOLONG, write, where + b"/" + b"b" * 256, b"")
    for name in names:
        os.rename(where + b"/" + name, where + b"/tmp")
        os.rename(where + b"/tmp", where + b"/" + name)


@check
def deep_paths(d):
    here = os.getcwd()
    os.chdir(d)
    try:
        for level in range(60):
            os.mkdir(f"level-{level:02}")
            os.chdir(f"level-{level:02}")
        write("bottom", b"here")
        assert read("bottom") == b"here"
    finally:
        os.chdir(here)
    path = d + "/" + "/".join(f"level-{level:02}" for level in range(60)) + "/bottom"
    assert read(path) == b"here"


@check
def file_system_status(d):
    status = os.statvfs(d)
    assert status.f_namemax == 255 and status.f_blocks > 0 and 0 < status.f_bavail <= status.f_blocks


@check
def fsync_everything(d):
    descriptor = os.open(d + "/f", os.O_WRONLY | os.O_CREAT)
    os.write(descriptor, b"x" * 100_000)
    os.fsync(descriptor)
    os.fdatasync(descriptor)
    os.close(descriptor)
    directory = os.open(d, os.O_RDONLY)
    os.fsync(directory)
    os.close(directory)
    descriptor = os.open(d + "/g", os.O_WRONLY | os.O_CREAT | os.O_SYNC)
    os.write(descriptor, b"sync")
    os.close(descriptor)
    assert read(d + "/g") == b"sync"


@check
def open_truncates(d):
    write(d + "/f", b"x" * 100_000)
    descriptor = os.open(d + "/f", os.O_RDWR | os.O_TRUNC)
    assert os.fstat(descriptor).st_size == 0
    os.write(descriptor, b"new")
    os.close(descriptor)
    assert read(d + "/f") == b"new"
    os.close(os.open(d + "/f", os.O_RDONLY | os.O_TRUNC))
    assert read(d + "/f") == b""


failed = 0
wanted = sys.argv[2:]
for function in checks:
    if wanted and function.__name__ not in wanted:
        continue
    directory = f"{base}/{function.__name__}"
    os.mkdir(directory)
    try:
        function(directory)
        print(f"ok      {function.__name__}")
    except Exception as error:  # every check is reported, with any exception
        failed += 1
        line = error.__traceback__
        while line.tb_next and line.tb_next.tb_frame.f_code.co_filename == __file__:
            line = line.tb_next
        print(f"FAILED  {function.__name__}: line {line.tb_lineno}: {type(error).__name__} {error}")
print(f"{failed} failed")
sys.exit(1 if failed else 0)
