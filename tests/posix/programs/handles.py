"""File handles (name_to_handle_at, open_by_handle_at): handles.py MOUNT OTHER_MOUNT save|check|gone FILE

save: makes nested directories and files on MOUNT, and writes their handles and contents to FILE. check: opens all of them by their handles on
both mounts. gone: removes half of them; their handles are stale, the others are not."""
import ctypes
import errno
import os
import pickle
import sys

libc = ctypes.CDLL(None, use_errno=True)
AT_FDCWD = -100


class Handle(ctypes.Structure):
    _fields_ = [("bytes", ctypes.c_uint), ("type", ctypes.c_int), ("data", ctypes.c_ubyte * 128)]


def handle_of(path):
    handle = Handle(bytes=128)
    mount_id = ctypes.c_int()
    if libc.name_to_handle_at(AT_FDCWD, os.fsencode(path), ctypes.byref(handle), ctypes.byref(mount_id), 0) != 0:
        raise OSError(ctypes.get_errno(), "name_to_handle_at", path)
    return handle.type, bytes(handle.data[: handle.bytes])


def open_handle(mount, saved, flags=os.O_RDONLY):
    kind, data = saved
    handle = Handle(bytes=len(data), type=kind)
    handle.data[: len(data)] = data
    at = os.open(mount, os.O_RDONLY | os.O_DIRECTORY)
    try:
        descriptor = libc.open_by_handle_at(at, ctypes.byref(handle), flags)
        if descriptor < 0:
            raise OSError(ctypes.get_errno(), "open_by_handle_at")
        return descriptor
    finally:
        os.close(at)


def drop_caches():
    os.sync()
    with open("/proc/sys/vm/drop_caches", "w") as file:
        file.write("3")


def save(mount, path):
    saved = {}
    directory = os.path.join(mount, "handles")
    os.mkdir(directory)
    for depth in range(12):
        directory = os.path.join(directory, f"d{depth}")
        os.mkdir(directory)
        saved[directory] = (handle_of(directory), None)
        name = os.path.join(directory, "file")
        contents = os.urandom(100 + 40000 * (depth % 3))
        with open(name, "wb") as file:
            file.write(contents)
        saved[name] = (handle_of(name), contents)
    assert handle_of(mount) == handle_of(os.path.join(mount, "handles", ".."))
    with open(path, "wb") as file:
        pickle.dump(saved, file)
    return saved


def check_one(mount, handle, contents):
    descriptor = open_handle(mount, handle)
    try:
        if contents is None:
            assert "file" in os.listdir(descriptor)
            # The parent directory, which the kernel may not know yet.
            above = os.open("..", os.O_RDONLY | os.O_DIRECTORY, dir_fd=descriptor)
            os.close(above)
        else:
            assert os.pread(descriptor, len(contents) + 1, 0) == contents
    finally:
        os.close(descriptor)


def check(mounts, saved):
    for mount in mounts:
        # The deepest first: the kernel knows none of its parents.
        for name in sorted(saved, key=len, reverse=True):
            handle, contents = saved[name]
            drop_caches()
            check_one(mount, handle, contents)


def expect_stale(mount, handle, name):
    try:
        os.close(open_handle(mount, handle))
    except OSError as error:
        assert error.errno == errno.ESTALE, (name, error)
        return
    raise AssertionError(f"{name}: opened although it is gone")


def gone(mounts, saved):
    files = sorted(name for name in saved if name.endswith("/file"))
    for name in files[::2]:
        real = os.path.join(mounts[0], "renamed", *name.split("/handles/")[1].split("/"))
        os.unlink(real)
    for mount in mounts:
        drop_caches()
        for number, name in enumerate(files):
            handle, contents = saved[name]
            if number % 2 == 0:
                expect_stale(mount, handle, name)
            else:
                check_one(mount, handle, contents)
    # A new file of the same name is another one.
    for name in files[::2]:
        real = os.path.join(mounts[0], "renamed", *name.split("/handles/")[1].split("/"))
        with open(real, "w") as file:
            file.write("new")
        assert handle_of(real) != saved[name][0]
        expect_stale(mounts[0], saved[name][0], name)


if __name__ == "__main__":
    first, second, what, where = sys.argv[1:5]
    if what == "save":
        save(first, where)
    else:
        with open(where, "rb") as file:
            known = pickle.load(file)
        {"check": check, "gone": gone}[what]([first, second], known)
