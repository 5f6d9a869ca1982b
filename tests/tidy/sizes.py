#!/usr/bin/env python3
"""No function above 70 lines, no class above 40 methods, no folder above 30 sources, no line above 120 columns: sizes.py TREE.

Lines are those of C++ and of Markdown's text (not of its tables and listings). It expects C++ as .clang-format writes it (see the check
`format`): a brace closes at the indentation of the line that opened it. EXCEPTIONS has the exceptions with their reasons; one that is
no longer needed is an error, too.
"""
import pathlib
import re
import subprocess
import sys

LINES, METHODS, FILES, COLUMNS = 70, 40, 30, 120
# What may be larger: (kind, name) -> reason.
EXCEPTIONS = {
    ("function", "nodes/rest/documents.cpp: const std::vector<Endpoint>& endpoints() {"): "a table",
    ("function", "tests/sim/checks/coverage.cpp: std::vector<CoverageSection> make_required() {"): "a table",
}

LABELS = ("public:", "private:", "protected:")
NO_FUNCTION = re.compile(r"^(?:inline )?namespace\b|^extern \"C\"|^(?:template <.*?> )?(?:struct|class|union|enum)\b[^()]*\{$|^[^(]*\{$")
CLASS = re.compile(r"^( *)(?:template <.*> )?(?:struct|class) (?:\[\[\w+\]\] )?([\w:]+)[^;()]*\{$")
# A member function: a name before its parameters, at the indentation of members.
METHOD = re.compile(r"^(?!.*\b(?:using|typedef|friend|static_assert|return|if|for|while|switch)\b)[^()=]*?(~?\w+|operator\S+)\(")


def close_of(lines, start, indent):
    for number in range(start + 1, len(lines)):
        if lines[number].startswith(indent + "}") or lines[number].startswith(indent + "})"):
            return number
    return len(lines) - 1


def head_of(lines, number):
    """The first line of the declaration whose last line is this one."""
    while number > 0:
        before = lines[number - 1].strip()
        if not before or before.endswith((";", "}", "{")) or before.startswith(("#", "//")) or before in LABELS:
            break
        number -= 1
    return number


def functions(lines):
    """(name, lines, first line) of every function: the outermost braces that are no namespace, type or initializer."""
    number = 0
    while number < len(lines):
        if not lines[number].endswith("{") or lines[number].startswith("#"):
            number += 1
            continue
        head = head_of(lines, number)
        what = " ".join(line.strip() for line in lines[head : number + 1])
        if NO_FUNCTION.match(what) or what.endswith("= {"):
            number += 1
            continue
        indent = re.match(" *", lines[head])[0]
        end = close_of(lines, number, indent)
        yield what, end - head + 1, head + 1
        number = end + 1


def classes(lines):
    for number, line in enumerate(lines):
        opened = CLASS.match(line)
        if opened is None:
            continue
        members = opened[1] + "  "
        end = close_of(lines, number, opened[1])
        count = 0
        inside = number + 1
        while inside < end:
            text = lines[inside]
            if text.startswith(members) and not text.startswith(members + " ") and METHOD.match(text.strip()):
                count += 1
            inside += 1
        yield opened[2], count, number + 1


def wide_text(path):
    """Numbers of Markdown's lines that are too wide and could be broken."""
    listing = False
    for number, line in enumerate(path.read_text().split("\n")):
        if line.lstrip().startswith("```"):
            listing = not listing
        elif not listing and len(line) > COLUMNS and not line.startswith("|") and " " in line.strip():
            yield number + 1


def tracked(tree, *patterns):
    """The files that git tracks and that exist, as in lib.sh."""
    listed = subprocess.check_output(["git", "-c", "safe.directory=*", "ls-files", "--", *patterns], cwd=tree, text=True).split()
    there = [name for name in listed if (tree / name).exists()]
    assert there, f"git lists no {patterns} in {tree}"
    return there


def main():
    tree = pathlib.Path(sys.argv[1])
    found = {}
    folders = {}
    for name in tracked(tree, "*.hpp", "*.cpp"):
        path = tree / name
        folder = str(pathlib.Path(name).parent)
        folders[folder] = folders.get(folder, 0) + 1
        lines = path.read_text().split("\n")
        for number, line in enumerate(lines):
            if len(line) > COLUMNS:
                found[("columns", name)] = f"{name}:{number + 1}: {len(line)} columns, more than {COLUMNS}"
        for what, size, at in functions(lines):
            if size > LINES:
                found[("function", f"{name}: {what}")] = f"{name}:{at}: {size} lines, more than {LINES}: {what}"
        for what, size, at in classes(lines):
            if size > METHODS:
                found[("class", what)] = f"{name}:{at}: {what} has {size} methods, more than {METHODS}"
    for folder, size in folders.items():
        if size > FILES:
            found[("folder", folder)] = f"{folder}: {size} files, more than {FILES}"
    for name in tracked(tree, "*.md"):
        for number in wide_text(tree / name):
            found[("columns", name)] = f"{name}:{number}: more than {COLUMNS} columns"
    wrong = [text for what, text in sorted(found.items()) if what not in EXCEPTIONS]
    wrong += [f"no longer an exception: {what}" for what in EXCEPTIONS if what not in found]
    print("\n".join(wrong), end="\n" if wrong else "")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
