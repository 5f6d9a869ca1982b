"""telldir and seekdir: directory_positions.py MOUNT OTHER_MOUNT make|check FILE

make: fills directories on MOUNT, notes the position behind each entry in FILE, and checks it in the same stream and in new ones on both mounts.
check: after a remount, when many entries have been removed and others added."""
import ctypes
import os
import pickle
import random
import sys

libc = ctypes.CDLL(None, use_errno=True)


class Dirent(ctypes.Structure):
    _fields_ = [
        ("inode", ctypes.c_uint64),
        ("offset", ctypes.c_int64),
        ("length", ctypes.c_uint16),
        ("type", ctypes.c_uint8),
        ("name", ctypes.c_char * 256),
    ]


libc.opendir.restype = ctypes.c_void_p
libc.opendir.argtypes = [ctypes.c_char_p]
libc.readdir.restype = ctypes.POINTER(Dirent)
libc.readdir.argtypes = [ctypes.c_void_p]
libc.telldir.restype = ctypes.c_long
libc.telldir.argtypes = [ctypes.c_void_p]
libc.seekdir.argtypes = [ctypes.c_void_p, ctypes.c_long]
libc.rewinddir.argtypes = [ctypes.c_void_p]
libc.closedir.argtypes = [ctypes.c_void_p]


class Stream:
    def __init__(self, path):
        self.stream = libc.opendir(os.fsencode(path))
        assert self.stream, path

    def __enter__(self):
        return self

    def __exit__(self, *_):
        libc.closedir(self.stream)

    def next(self):
        entry = libc.readdir(self.stream)
        return os.fsdecode(entry.contents.name) if entry else None

    def rest(self):
        return list(iter(self.next, None))

    def tell(self):
        return libc.telldir(self.stream)

    def seek(self, position):
        libc.seekdir(self.stream, position)

    def rewind(self):
        libc.rewinddir(self.stream)


def positions_of(stream):
    """The names in their order, and the position behind each."""
    names, positions = [], []
    for name in iter(stream.next, None):
        names.append(name)
        positions.append(stream.tell())
    return names, positions


def check_every_way(paths, names, positions, expected_after, chance):
    """expected_after(place): the names that a reader finds from there on, without those that are new."""
    streams = [Stream(path) for path in paths for _ in range(2)]
    for _ in range(60):
        place = chance.randrange(len(names))
        stream = chance.choice(streams)
        if chance.random() < 0.3:
            stream.rewind()
            stream.next()
        stream.seek(positions[place])
        expected = expected_after(place)
        if chance.random() < 0.2:
            found = [name for name in stream.rest() if not name.startswith("new")]
            assert found == expected, (place, found[:3], expected[:3])
            continue
        name = stream.next()
        while name is not None and name.startswith("new"):
            name = stream.next()
        assert name == (expected[0] if expected else None), (place, names[place], name, expected[:1])
    for stream in streams:
        stream.__exit__()


def make(first, second, where):
    chance = random.Random(1)
    known = {}
    for count in (3, 300, 5000):
        directory = f"positions{count}"
        os.mkdir(os.path.join(first, directory))
        for number in range(count):
            os.mknod(os.path.join(first, directory, f"f{number:05}"))
        with Stream(os.path.join(first, directory)) as stream:
            names, positions = positions_of(stream)
            assert sorted(names) == sorted([".", ".."] + [f"f{number:05}" for number in range(count)])
            assert len(set(positions)) == len(positions) and min(positions) >= 0
            # In the same stream: to the beginning and then to a later position.
            for place in [0, 1, 2, len(names) // 2, len(names) - 2]:
                stream.seek(0)
                assert stream.next() == "."
                stream.seek(positions[place])
                assert stream.next() == names[place + 1], (count, place)
        paths = [os.path.join(mount, directory) for mount in (first, second)]
        check_every_way(paths, names, positions, lambda place, names=names: names[place + 1 :], chance)
        known[directory] = (names, positions)
    with open(where, "wb") as file:
        pickle.dump(known, file)


def check(first, second, where):
    chance = random.Random(2)
    with open(where, "rb") as file:
        known = pickle.load(file)
    for directory, (names, positions) in known.items():
        paths = [os.path.join(mount, directory) for mount in (first, second)]
        check_every_way(paths, names, positions, lambda place, names=names: names[place + 1 :], chance)
        gone = {name for name in names if not name.startswith(".") and chance.random() < 0.5}
        # In the middle of open streams: entries that stay are listed exactly once.
        open_streams = [Stream(path) for path in paths]
        seen = [[stream.next() for _ in range(min(len(names) // 2, 1500))] for stream in open_streams]
        for number, name in enumerate(sorted(gone)):
            os.unlink(os.path.join(paths[number % 2], name))
            os.mknod(os.path.join(paths[(number + 1) % 2], f"new{number}"))
        for stream, before in zip(open_streams, seen):
            listed = before + stream.rest()
            for name in names:
                assert name in gone or listed.count(name) == 1, (directory, name, listed.count(name))
            assert len(set(listed)) == len(listed)
            stream.__exit__()
        stay = [name not in gone for name in names]
        check_every_way(
            paths,
            names,
            positions,
            lambda place, names=names, stay=stay: [name for name, stays in zip(names[place + 1 :], stay[place + 1 :]) if stays],
            chance,
        )


if __name__ == "__main__":
    {"make": make, "check": check}[sys.argv[3]](sys.argv[1], sys.argv[2], sys.argv[4])
