#!/usr/bin/env python3
"""The bash completion offers what --help lists: completion.py TREE BUILD.

Bash itself runs packaging/completion/ringfs: for every command the options, for every option the values that have a
list, for -o the mount options.
"""
import pathlib
import re
import subprocess
import sys

import help_text

problems = []


def completed(tree, programs, *words):
    """What is offered for the last of these words."""
    script = """
      source "$1"; shift
      compopt() { :; }  # works only while the shell completes
      COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _ringfs
      printf '%s\\n' "${COMPREPLY[@]}"
    """
    words = [str(programs / words[0]), *words[1:]]
    ran = subprocess.run(["bash", "-eu", "-c", script, "completion", tree / "packaging/completion/ringfs", *words],
                         capture_output=True, text=True, check=True, timeout=60)
    assert not ran.stderr, ran.stderr
    return set(ran.stdout.split())


def expect(what, offered, wanted):
    if offered != wanted:
        problems.append(f"{what}: too many {sorted(offered - wanted)}, missing {sorted(wanted - offered)}")


def check_command(tree, programs, command, text):
    expect(" ".join(command), completed(tree, programs, *command, "-"), help_text.options(text))
    for line in help_text.section(text, "Options"):
        choices = re.match(r"  (-\S+) TEXT:\{(.*?)\}", line)
        if choices:
            option = choices[1].split(",")[-1]
            expect(f"{' '.join(command)} {option}", completed(tree, programs, *command, option, ""), set(choices[2].split(",")))
    names = help_text.subcommands(text)
    if names:
        expect(f"commands of {' '.join(command)}", completed(tree, programs, *command, ""), set(names))
        expect(f"commands of {' '.join(command)} that begin so", completed(tree, programs, *command, names[0]),
               {name for name in names if name.startswith(names[0])})


def check_mount_options(tree, programs):
    ended = subprocess.run([programs / "ringfs", "mount", "127.0.0.1:1", "/", "-o", "unknown"], capture_output=True, text=True)
    listed = re.search(r"\(there are (.*), and what is meant", ended.stderr)[1].replace("and of mount(8)", "")
    wanted = set(re.findall(r"\b[a-z_]+(?:=(?=[A-Z]))?", listed)) | {"rw"}
    expect("mount -o", completed(tree, programs, "ringfs", "mount", "127.0.0.1:1", "/mnt", "-o", ""), wanted)
    expect("mount -o ro,no", completed(tree, programs, "ringfs", "mount", "-o", "ro,no"),
           {f"ro,{word}" for word in wanted if word.startswith("no")})


def main():
    tree = pathlib.Path(sys.argv[1]).resolve()
    programs = pathlib.Path(sys.argv[2]).resolve() / "bin"
    for program in "ringfs", "ringfs-node":
        for command, text in help_text.all_commands(programs / program).items():
            check_command(tree, programs, (program, *command), text)
    check_mount_options(tree, programs)
    expect("files", completed(tree, programs, "ringfs-node", "--config", str(tree / "READ")), {str(tree / "README.md")})
    expect("a value without a list", completed(tree, programs, "ringfs", "status", "--timeout", ""), set())
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
