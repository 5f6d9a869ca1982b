#!/usr/bin/env python3
"""clang-tidy finds nothing in the sources: clang_tidy.py TREE COMPILER BUILD.

The list of checks is .clang-tidy. All files of a folder are read as one, for most of the work is in the headers that they share: the
whole tree takes three minutes of processor time instead of twenty. Where two files of a folder do not go together, each is read alone.
"""
import concurrent.futures
import os
import pathlib
import re
import subprocess
import sys

from sizes import tracked

TOP = ("dht", "fs", "nodes", "mount")
# A folder's file includes sources; that is what it is for.
ARGUMENTS = ["--quiet", "--checks=-bugprone-suspicious-include"]
FINDING = re.compile(r"^(\S+?):(\d+):\d+: (warning|error): (.*)$")


def flags(build):
    """As clang understands them: of one file of each library, without what g++ alone knows."""
    packages = subprocess.check_output(["pkg-config", "--cflags", "fuse3", "sqlite3"], text=True).split()
    system = [flag.replace("-I", "-isystem", 1) for flag in packages]
    return ["-std=c++20", "-w", "-I.", f"-isystem{build}/dht", "-DRINGFS_VERSION=\"tidy\"", "-DBOOST_ASIO_SEPARATE_COMPILATION",
            "-DBOOST_BEAST_SEPARATE_COMPILATION", "-DBOOST_ASIO_NO_DEPRECATED", *system]


def run(tree, files, build):
    """The findings in the tree's own files, or None when they do not compile."""
    unit = build / "clang_tidy" / (files[0].replace("/", "-") + ".cpp")
    unit.parent.mkdir(exist_ok=True)
    unit.write_text("".join(f'#include "{tree / file}"\n' for file in files))
    own = "|".join(TOP)
    command = ["clang-tidy", *ARGUMENTS, f"--header-filter=^{re.escape(str(tree))}/({own})/|^(\\./)?({own})/", str(unit),
               f"--config-file={tree}/.clang-tidy", "--", *flags(build)]
    output = subprocess.run(command, cwd=tree, text=True, capture_output=True).stdout
    found = [FINDING.match(line) for line in output.split("\n")]
    found = [finding for finding in found if finding]
    if any(finding[3] == "error" for finding in found):
        return None, output
    unit.unlink()
    return {f"{os.path.relpath(tree / finding[1], tree)}:{finding[2]}: {finding[4]}" for finding in found}, output


def check(tree, files, build):
    found, output = run(tree, files, build)
    if found is not None:
        return found
    if len(files) == 1:
        return {f"{files[0]}: clang cannot compile it:\n{output}"}
    return set().union(*(check(tree, [file], build) for file in files))


def main():
    tree, build = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[3]).resolve()
    folders = {}
    for name in tracked(tree, *(f"{top}/*.cpp" for top in TOP)):
        folders.setdefault(str(pathlib.Path(name).parent), []).append(name)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        found = set().union(*pool.map(lambda files: check(tree, files, build), folders.values()))
    print("\n".join(sorted(found)), end="\n" if found else "")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
