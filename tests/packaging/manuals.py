#!/usr/bin/env python3
"""The man pages say what --help says: manuals.py TREE BUILD.

Every command and option of the programs stands in packaging/man and the other way round; so do the keys of node.conf,
the mount options and the exit codes. The default node.conf has known keys only.
"""
import pathlib
import re
import subprocess
import sys
import tempfile

import help_text

problems = []


def compare(what, page, shown):
    """`shown`: by the programs."""
    problems.extend(f"{what}: {name} is missing in the man page" for name in sorted(shown - page))
    problems.extend(f"{what}: {name} is in the man page only" for name in sorted(page - shown))


def unformatted(text):
    return text.replace("\\", "").replace("*", "")


def sections(page, level):
    """[(heading, lines)] of the headings with this many #; a higher heading ends one."""
    found = []
    for line in page.read_text().split("\n"):
        marks = re.match(r"(#+) (.*)", line)
        if marks and len(marks[1]) == level:
            found.append((marks[2], []))
        elif marks and len(marks[1]) < level:
            found.append(("", []))
        elif found:
            found[-1][1].append(line)
    return [(heading, lines) for heading, lines in found if heading]


def named(page, heading):
    return dict(sections(page, 1))[heading]


def defined(lines):
    """The words that a list of definitions defines: lines that begin with * and that an indented one follows."""
    found = []
    for line, after in zip(lines, lines[1:]):
        if line.startswith("*") and after.startswith("\t"):
            found.extend(re.findall(r"\*((?:\\.|[^*])+)\*", line))
    return [unformatted(word) for word in found]


def check_node(page, program):
    text = help_text.help_of(program)
    compare(page.name, set(defined(named(page, "OPTIONS"))), help_text.options(text))
    codes = re.search(r"Exit codes:(.*)", text, re.S)[1]
    compare(f"{page.name}, exit codes", set(defined(named(page, "EXIT STATUS"))), set(re.findall(r"(?:^|[,\n]) ?(\d+) ", codes)))


def answer_to(program, directory, text):
    """What a node says to a file of options that also has the key `unknown-key`, so that it never starts."""
    file = directory / "node.conf"
    file.write_text(text + "\nunknown-key = 1\n")
    ended = subprocess.run([program, "--config", file], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 2, ended
    assert str(file) in ended.stderr, f"the file is not named: {ended.stderr}"
    return ended.stderr


def check_file(page, default, program):
    keys = set(defined(named(page, "KEYS")))
    with tempfile.TemporaryDirectory() as scratch:
        directory = pathlib.Path(scratch)
        possible = set()
        for option in help_text.options(help_text.help_of(program)):
            if option.startswith("--") and "not allowed" not in answer_to(program, directory, f"{option[2:]} = true"):
                possible.add(option[2:])
        compare(page.name, keys, possible)
        text = default.read_text()
        used = set(re.findall(r"^#?([a-z-]+) = ", text, re.M))
        problems.extend(f"{default.name}: {name} is no key" for name in sorted(used - keys))
        everything = re.sub(r"^#(?=[a-z-]+ = )", "", text, flags=re.M)
        for tried in text, everything:
            answer = answer_to(program, directory, tried)
            if "unknown key 'unknown-key'" not in answer:
                problems.append(f"{default.name}: {answer}")
        missing = subprocess.run([program, "--config", directory / "none"], capture_output=True, text=True, timeout=60)
        assert missing.returncode == 2 and str(directory / "none") in missing.stderr, missing


def command_of(heading):
    words = heading.split()[1:]
    end = next((i for i, word in enumerate(words) if not re.fullmatch(r"[a-z-]+", word)), len(words))
    return tuple(words[:end])


def check_commands(page, program):
    shown = help_text.all_commands(program)
    compare(page.name, set(defined(named(page, "OPTIONS"))), help_text.options(shown.pop(())))
    described = {command_of(heading): lines for heading, lines in sections(page, 2)}
    compare(f"{page.name}, commands", {" ".join(c) for c in described}, {" ".join(c) for c in shown})
    own = {command: set(defined(lines)) for command, lines in described.items()}
    for command in sorted(described.keys() & shown.keys()):
        options = set(own[command])
        for other in re.findall(r"options (?:are those )?of \*ringfs ([a-z ]+)\*", " ".join(described[command])):
            options |= own.get(tuple(other.split()), {f"the options of ringfs {other}"})
        compare(f"{page.name}, {' '.join(command)}", options, help_text.options(shown[command]) - {"-h", "--help"})


def refusal(words):
    """What `ringfs` says to words of -o; without an unknown one it only misses the mount point."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=60)
    assert ended.returncode in (1, 2), ended
    return ended.stderr if ended.returncode == 2 else ""


def check_mount(page, program):
    words = set(defined(named(page, "MOUNT OPTIONS")))
    with tempfile.TemporaryDirectory() as scratch:
        nowhere = pathlib.Path(scratch) / "nowhere"
        for word in words:
            value = {"cache=": "full"}.get(word, "1")
            tried = word.replace("...", "") + (value if word.endswith("=") else "")
            refused = refusal([program, "mount", "127.0.0.1:1", nowhere, "-o", tried])
            problems.extend([f"{page.name}: {word}: {refused}"] if refused else [])
        listed = re.search(r"\(there are (.*)\)", refusal([program, "mount", "127.0.0.1:1", nowhere, "-o", "unknown"]))[1]
        names = re.findall(r"\b[a-z_]+(?:=(?=[A-Z]))?", listed.split(", and what is meant")[0].replace("and of mount(8)", ""))
        problems.extend(f"{page.name}: {name} is missing" for name in names if name not in words)
        helper = pathlib.Path(scratch) / "mount.ringfs"
        helper.symlink_to(program)
        letters = {word[1] for word in defined(named(page, "ARGUMENTS"))}
        accepted = set()
        for letter in "abcdefghijklmnpqrsuvwxyz":  # -o and -t take a value
            ended = subprocess.run([helper, "127.0.0.1:1", nowhere, "-f", f"-{letter}"], capture_output=True, timeout=60)
            if ended.returncode == 0:
                accepted.add(letter)
        compare(f"{page.name}, letters", letters, accepted)


def main():
    tree = pathlib.Path(sys.argv[1]).resolve()
    programs = pathlib.Path(sys.argv[2]).resolve() / "bin"
    pages = tree / "packaging" / "man"
    for page in sorted(pages.glob("*.scd")):
        subprocess.run(["scdoc"], input=page.read_bytes(), check=True, stdout=subprocess.DEVNULL)
    check_node(pages / "ringfs-node.8.scd", programs / "ringfs-node")
    check_file(pages / "ringfs.conf.5.scd", tree / "packaging" / "node.conf", programs / "ringfs-node")
    check_commands(pages / "ringfs.1.scd", programs / "ringfs")
    check_mount(pages / "mount.ringfs.8.scd", programs / "ringfs")
    print("\n".join(problems), end="\n" if problems else "")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
