"""What --help of the programs says, for the checks of this folder: commands and options, as CLI11 prints them."""
import re
import subprocess


def help_of(program, *commands):
    return subprocess.run([program, *commands, "--help"], check=True, capture_output=True, text=True, timeout=60).stdout


def section(text, title):
    """The lines below `title:` up to the next line that is not indented."""
    lines = text.split("\n")
    if f"{title}:" not in lines:
        return []
    found = []
    for line in lines[lines.index(f"{title}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        found.append(line)
    return found


def options(text):
    """{"--name", "-n"...} of a help text."""
    found = set()
    for line in section(text, "Options"):
        match = re.match(r"  (-\S+)", line)
        if match:
            found.update(match[1].split(","))
    assert "--help" in found, text
    return found


def subcommands(text):
    return [line.split()[0] for line in section(text, "Subcommands") if re.match(r"  [a-z]", line)]


def all_commands(program, *above):
    """Every command as a tuple of words, with its help text: {("mount",): "...", ...}, the program itself as ()."""
    text = help_of(program, *above)
    found = {above: text}
    for name in subcommands(text):
        found.update(all_commands(program, *above, name))
    return found
