#!/usr/bin/env python3
"""Draws docs/pictures/life-of-a-write.svg, the sequence diagram of docs/life-of-a-write.md.

    docs/pictures/life_of_a_write.py            # writes the picture beside this file
    docs/pictures/life_of_a_write.py FILE.svg   # or there

The steps are the list below: change them here and in the document together. Each step has a row; steps that happen at the same time
share one. Fails when two texts would overlap or a text does not fit.
"""
import pathlib
import sys
from xml.sax.saxutils import escape

COLUMNS = [
    ("program", ""),
    ("kernel", ""),
    ("mount", "its loop"),
    ("leader", "its loop"),
    ("leader", "store-writer thread"),
    ("follower (each)", "its loop"),
    ("follower (each)", "store-writer thread"),
]
PROGRAM, KERNEL, MOUNT, LEADER, LEADER_STORE, FOLLOWER, FOLLOWER_STORE = range(len(COLUMNS))


def message(start, end, text):
    return ("message", start, end, text)


def work(column, *lines):
    return ("work", column, column, lines)


def span(first, last, *lines):
    return ("work", first, last, lines)


def phase(text):
    return ("phase", 0, 0, text)


# One row per step; a list is a row of steps that happen at the same time. Rows are numbered, phases are not.
STEPS = [
    phase("open(\"f\", O_CREAT | O_WRONLY): the first commit"),
    message(PROGRAM, KERNEL, "open"),
    message(KERNEL, MOUNT, "FUSE_CREATE"),
    work(MOUNT, "Names::create_node", "one ChangeSet, one batch"),
    message(MOUNT, LEADER, "request: commit"),
    work(LEADER, "Proposals::propose", "entry in its log"),
    message(LEADER, FOLLOWER, "Append: entry, commit index so far"),
    message(LEADER, LEADER_STORE, "Write: entry"),
    [work(LEADER_STORE, "INSERT, COMMIT", "fdatasync"), message(FOLLOWER, FOLLOWER_STORE, "Write: entry")],
    [message(LEADER_STORE, LEADER, "durable"), work(FOLLOWER_STORE, "INSERT, COMMIT", "fdatasync")],
    [work(LEADER, "own copy counts"), message(FOLLOWER_STORE, FOLLOWER, "durable")],
    message(FOLLOWER, LEADER, "AppendReply: match"),
    work(LEADER, "Followers::commit", "two of three have it"),
    message(LEADER, LEADER_STORE, "Apply"),
    work(LEADER_STORE, "evaluate(): rows, result", "COMMIT without a sync"),
    message(LEADER_STORE, LEADER, "result"),
    message(LEADER, MOUNT, "response: applied"),
    message(MOUNT, KERNEL, "fuse_reply_create"),
    message(KERNEL, PROGRAM, "descriptor"),
    phase("write(fd, \"hello\", 5): no commit"),
    message(PROGRAM, KERNEL, "write"),
    message(KERNEL, MOUNT, "FUSE_WRITE"),
    work(MOUNT, "WriteBuffer: dirty bytes"),
    message(MOUNT, KERNEL, "fuse_reply_write"),
    message(KERNEL, PROGRAM, "5"),
    phase("close(fd): the second commit"),
    message(PROGRAM, KERNEL, "close"),
    message(KERNEL, MOUNT, "FUSE_FLUSH"),
    work(MOUNT, "publish_inline", "bytes + size: one batch"),
    message(MOUNT, LEADER, "request: commit"),
    span(LEADER, FOLLOWER_STORE, "as steps 5 to 15"),
    message(LEADER, MOUNT, "response: applied"),
    work(MOUNT, "the bytes leave memory"),
    message(MOUNT, KERNEL, "fuse_reply_err: 0"),
    message(KERNEL, PROGRAM, "0"),
    phase("meanwhile, within a heartbeat interval"),
    message(LEADER, FOLLOWER, "next Append or Heartbeat: commit index"),
    message(FOLLOWER, FOLLOWER_STORE, "Apply"),
    work(FOLLOWER_STORE, "evaluate(): the same rows"),
]

GAP = 196            # between columns
LEFT = 96            # of the first column's line; the step numbers are left of it
TOP = 64
LINE = 15            # height of a line of text
MESSAGE_ROW = 32
PHASE_ROW = 40
FONT = 12
CHARACTER = 6.7      # no character of the font is wider on the average, capitals included
WIDTH = LEFT + GAP * (len(COLUMNS) - 1) + 100


def x_of(column):
    return LEFT + GAP * column


class Picture:
    def __init__(self):
        self.parts = []
        self.texts = []  # (left, top, right, bottom, text)

    def text(self, x, y, words, anchor="middle", weight="normal", size=FONT, color="#222", halo=True):
        width = len(words) * CHARACTER * size / FONT
        left = {"middle": x - width / 2, "start": x, "end": x - width}[anchor]
        box = (left, y - size, left + width, y + 3, words)
        for other in self.texts:
            if box[0] < other[2] and other[0] < box[2] and box[1] < other[3] and other[1] < box[3]:
                sys.exit(f"two texts overlap: {words!r} and {other[4]!r}")
        if left < 0 or left + width > WIDTH:
            sys.exit(f"a text leaves the picture: {words!r}")
        self.texts.append(box)
        style = ' paint-order="stroke" stroke="#fff" stroke-width="5" stroke-linejoin="round"' if halo else ""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" '
                          f'fill="{color}"{style}>{escape(words)}</text>')
        return width

    def message(self, y, start, end, words):
        left, right = sorted((x_of(start), x_of(end)))
        self.parts.append(f'<line x1="{x_of(start)}" y1="{y}" x2="{x_of(end)}" y2="{y}" stroke="#225" stroke-width="1.4" '
                          'marker-end="url(#head)"/>')
        width = self.text((left + right) / 2, y - 6, words)
        if width > right - left - 12:
            sys.exit(f"a text is longer than its arrow: {words!r}")

    def work(self, y, first, last, lines):
        height = LINE * len(lines) + 8
        width = max(len(line) for line in lines) * CHARACTER + 14
        middle = (x_of(first) + x_of(last)) / 2
        if first == last and width > GAP - 8:
            sys.exit(f"a box is wider than its column: {lines!r}")
        if first != last:
            width = x_of(last) - x_of(first) + 60
        self.parts.append(f'<rect x="{middle - width / 2:g}" y="{y}" width="{width:g}" height="{height}" rx="4" fill="#eef3fb" '
                          'stroke="#8aa4cc"/>')
        for number, line in enumerate(lines):
            self.text(middle, y + 15 + LINE * number, line, halo=False)
        return height


def row_height(row):
    heights = [MESSAGE_ROW if kind == "message" else LINE * len(words) + 8 + 10 for kind, _, _, words in row]
    return max(heights)


def draw():
    picture = Picture()
    y = TOP
    number = 0
    for step in STEPS:
        row = step if isinstance(step, list) else [step]
        if row[0][0] == "phase":
            picture.parts.append(f'<line x1="10" y1="{y + 12}" x2="{WIDTH - 10}" y2="{y + 12}" stroke="#ccc"/>')
            picture.text(14, y + 28, row[0][3], anchor="start", weight="bold", size=13, color="#724")
            y += PHASE_ROW
            continue
        number += 1
        height = row_height(row)
        middle = y + height / 2
        picture.text(30, middle + 5, str(number), anchor="end", color="#666")
        for kind, start, end, words in row:
            if kind == "message":
                picture.message(middle + 8, start, end, words)
            else:
                box = LINE * len(words) + 8
                picture.work(middle - box / 2, start, end, words)
        y += height
    bottom = y + 10
    lines = [f'<line x1="{x_of(c)}" y1="50" x2="{x_of(c)}" y2="{bottom}" stroke="#bbb" stroke-dasharray="4 4"/>'
             for c in range(len(COLUMNS))]
    for column, (name, what) in enumerate(COLUMNS):
        picture.text(x_of(column), 24, name, weight="bold", size=13, halo=False)
        if what:
            picture.text(x_of(column), 41, what, color="#555", halo=False)
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 10:g}" width="{WIDTH}" height="{bottom + 10:g}" '
        'font-family="DejaVu Sans, Verdana, sans-serif">',
        "<!-- Made by docs/pictures/life_of_a_write.py -->",
        '<defs><marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0L10 5L0 10z" fill="#225"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{bottom + 10:g}" fill="#fff"/>',
        *lines, *picture.parts, "</svg>", ""])


if __name__ == "__main__":
    beside = pathlib.Path(__file__).with_name("life-of-a-write.svg")
    target = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else beside
    target.write_text(draw(), encoding="utf-8")
