#!/usr/bin/env python3
"""The position of a descriptor with O_APPEND after writes while another mount appends: append_position.py FILE SAME_FILE_ELSEWHERE."""
import os
import sys

here, there = (os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND) for path in sys.argv[1:3])


def position(descriptor):
    return os.lseek(descriptor, 0, os.SEEK_CUR)


os.write(here, b"a" * 72)
assert position(here) == 72
os.write(there, b"b" * 44)
# A kernel that opened the file before does not know of the others' bytes yet: after the write that finds them the position lacks them
# (docs/posix.md). After the next write it is right.
os.write(here, b"c" * 10)
os.write(here, b"d" * 10)
assert position(here) == 136, position(here)
os.write(there, b"e")
os.write(there, b"f")
assert position(there) == 138, position(there)
# After a look at the end or at the attributes the position is right at once.
os.lseek(here, 0, os.SEEK_END)
os.write(here, b"g")
assert position(here) == 139, position(here)
os.write(there, b"h")
os.fstat(here)
os.write(here, b"i")
assert position(here) == 141, position(here)
os.lseek(here, 0, os.SEEK_SET)
assert os.read(here, 200) == b"a" * 72 + b"b" * 44 + b"c" * 10 + b"d" * 10 + b"efghi"
# With a descriptor for plain writes open here the kernel learns of the end only when a process asks (docs/posix.md).
plain = os.open(sys.argv[1], os.O_RDWR)
os.write(there, b"j")
os.fstat(here)
os.write(here, b"k")
assert position(here) == 143, position(here)
os.close(plain)
os.write(there, b"l")
os.write(here, b"m")
os.write(here, b"n")
assert position(here) == 146, position(here)
print("positions are right")
