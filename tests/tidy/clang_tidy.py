#!/usr/bin/env python3
"""clang-tidy finds nothing in the sources: clang_tidy.py TREE COMPILER BUILD.

The list of checks is .clang-tidy. All files of a library are read as one, for most of the work is in the headers that they share: a check
looks at everything in them, also in those of Boost, before it leaves out what is not ours. So the whole tree takes three minutes of
processor time; folder by folder it took eleven. A file that does not go together with earlier ones of its library, because both have a name of their own
that is the same, is read in another unit.

What cannot be seen in files that are read as one is looked for in the text: a using-declaration or an alias that only another file
needs, and a source that is included.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

from sizes import tracked

# Each is read as one; those that take longest come first.
LIBRARIES = (("nodes",), ("mount",), ("dht/net",), ("dht/base", "dht/core"), ("fs",))
TOP = ("dht", "fs", "nodes", "mount")
MOST_UNITS = 8  # of one library
# A unit includes sources; that is what it is for.
ARGUMENTS = ["--quiet", "--checks=-bugprone-suspicious-include"]
FINDING = re.compile(r"^(\S+?):(\d+):\d+: (warning|error): (.*)$")

SOURCE_INCLUDED = re.compile(r'^#\s*include\s+["<][^">]*\.(?:c|cc|cpp|cxx)[">]')
NAMED = re.compile(r"^\s*(?:using\s+(?:typename\s+)?(?:::)?(?:\w+::)+(\w+)|namespace\s+(\w+)\s*=.*);")


def flags(build):
    """As clang understands them: of one file of each library, without what g++ alone knows."""
    packages = subprocess.check_output(["pkg-config", "--cflags", "fuse3", "sqlite3"], text=True).split()
    system = [flag.replace("-I", "-isystem", 1) for flag in packages]
    return ["-std=c++20", "-w", "-I.", f"-isystem{build}/dht", "-DRINGFS_VERSION=\"tidy\"", "-DBOOST_ASIO_SEPARATE_COMPILATION",
            "-DBOOST_BEAST_SEPARATE_COMPILATION", "-DBOOST_ASIO_NO_DEPRECATED", *system]


def run(tree, files, build, name):
    """Its findings in the tree's own files, the files that do not compile, and what clang-tidy said."""
    unit = build / "clang_tidy" / f"{name}.cpp"
    unit.parent.mkdir(exist_ok=True)
    unit.write_text("".join(f'#include "{tree / file}"\n' for file in files))
    own = "|".join(TOP)
    command = ["clang-tidy", *ARGUMENTS, f"--header-filter=^{re.escape(str(tree))}/({own})/|^(\\./)?({own})/", str(unit),
               f"--config-file={tree}/.clang-tidy", "--", *flags(build)]
    done = subprocess.run(command, cwd=tree, text=True, capture_output=True)
    lines = [FINDING.match(line) for line in done.stdout.split("\n")]
    found = [(os.path.relpath(tree / line[1], tree), *line.groups()[1:]) for line in lines if line]
    errors = {file for file, _, kind, _ in found if kind == "error"}
    if done.returncode != 0 and not errors:
        errors = {"clang-tidy itself"}
    unit.unlink()
    return {f"{file}:{number}: {text}" for file, number, _, text in found}, errors, done.stdout + done.stderr


def check(tree, library, build):
    """The findings in a library: in as many units as it takes for the files that do not go together."""
    found, rest = set(), tracked(tree, *(f"{folder}/*.cpp" for folder in library))
    for number in range(MOST_UNITS):
        unit, later = rest, []
        while unit:
            there, errors, output = run(tree, unit, build, f"{library[-1].replace('/', '-')}-{number}")
            if not errors:
                found |= there
                break
            clashing = [file for file in unit if file in errors]
            if not clashing or len(unit) == 1:
                return found | {f"{', '.join(sorted(errors))}: clang cannot compile it:\n{output}"}
            print(f"read apart, for the sake of a name that another file has, too: {' '.join(clashing)}", flush=True)
            # At least one of them stays, so that each unit leaves fewer.
            if len(clashing) == len(unit):
                clashing = clashing[1:]
            unit, later = [file for file in unit if file not in clashing], later + clashing
        if not later:
            return found
        rest = later
    return found | {f"{' '.join(rest)}: {MOST_UNITS} units are not enough"}


def unseen(tree):
    """What cannot be noticed where files are read as one."""
    found = set()
    for name in tracked(tree, *(f"{top}/*.{ending}" for top in TOP for ending in ("cpp", "hpp"))):
        lines = [line.split("//")[0] for line in (tree / name).read_text().split("\n")]
        for number, line in enumerate(lines, 1):
            if SOURCE_INCLUDED.match(line):
                found.add(f"{name}:{number}: a source is included")
            named = NAMED.match(line)
            if named is None or name.endswith(".hpp"):  # what a header names is for others
                continue
            word = re.compile(rf"\b{named[1] or named[2]}\b")
            if sum(len(word.findall(other)) for other in lines) == 1:
                found.add(f"{name}:{number}: {named[1] or named[2]} is not used here")
    return found


def main():
    tree, build = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[3]).resolve()
    covered = {name for library in LIBRARIES for name in tracked(tree, *(f"{folder}/*.cpp" for folder in library))}
    missing = set(tracked(tree, *(f"{top}/*.cpp" for top in TOP))) - covered
    found = unseen(tree) | {f"{name}: of no library in clang_tidy.py" for name in missing}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = found.union(*pool.map(lambda library: check(tree, library, build), LIBRARIES))
    print("\n".join(sorted(found)), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
