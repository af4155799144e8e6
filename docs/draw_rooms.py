"""Draws docs/rooms.svg: the rooms of the packages, and the way of a query and of a click through them.

The rooms and their order are those of import-linter's contracts in pyproject.toml, their words are their docstrings',
what they use is in the import graph, and the steps are those of docs/architecture.md.

    python docs/draw_rooms.py
"""

from __future__ import annotations

import ast
import collections
import re
import textwrap
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

import grimp
from svg_style import sheet

ROOT = Path(__file__).resolve().parents[1]
PICTURE, PAGE = ROOT / "docs" / "rooms.svg", ROOT / "docs" / "architecture.md"
PACKAGES = ("preprocessing", "trainer", "serving")
# What nearly every room uses, and no box needs to say.
_EVERYWHERE = {"command", "config"}
# What flows into each package, and out of the last.
FLOW = ("raw logs", "data/", "job/towers/", "answers")

_COLUMN, _GAP, _MARGIN, _TOP, _SPACE = 420, 76, 24, 78, 10
_LINE, _PAD, _BADGE = 15, 8, 31
_LETTER = 5.9  # mean width of a letter of 11 px
_COLOURS = {"Q": "#1d4ed8", "C": "#c2410c"}
_STEP = re.compile(r"^\* \*\*([QC])(\d+)\*\* (.*?)(?=^\* |^$)", re.MULTILINE | re.DOTALL)
_PATH = re.compile(r"`((?:preprocessing|trainer|serving)/[\w/]+\.py)`")


class Room(NamedTuple):
    """A part of a package: a folder, or a file at its door."""

    package: str
    name: str
    says: str
    uses: str  # the rooms that it imports
    steps: list[str]  # "Q1", "C4", ...

    @property
    def folder(self) -> bool:
        """Whether it is more than one file."""
        return (ROOT / self.package / self.name).is_dir()


class Box(NamedTuple):
    """A room in its place."""

    room: Room
    x: int
    y: int
    width: int
    height: int
    lines: list[tuple[str, str]]  # (class, text)


def layers(package: str) -> list[list[str]]:
    """The rooms of a package from top to bottom, those of one height side by side."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (own,) = (one["layers"] for one in contracts if one.get("containers") == [package])
    return [[name.strip() for name in re.split(r"[|:]", layer)] for layer in own]


def steps() -> dict[str, list[str]]:
    """By "package/room" the steps of the page that name a file in it."""
    found: dict[str, list[str]] = collections.defaultdict(list)
    for way, number, text in _STEP.findall(PAGE.read_text("utf-8") + "\n"):
        for path in _PATH.findall(text):
            room = "/".join(path.removesuffix(".py").split("/")[:2])
            if f"{way}{number}" not in found[room]:
                found[room].append(f"{way}{number}")
    return found


def used() -> dict[str, str]:
    """By "package.room" what it imports: of its own package by name, of others in full."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    found: dict[str, set[tuple[str, str]]] = collections.defaultdict(set)
    for module in graph.modules:
        importer = tuple(module.split(".")[:2])
        for other in graph.find_modules_directly_imported_by(module):
            imported = tuple(other.split(".")[:2])
            if len(importer) == len(imported) == 2 and importer != imported:
                found[".".join(importer)].add((imported[0], imported[1]))
    return {room: _listed(room.split(".")[0], others) for room, others in found.items()}


def _listed(package: str, others: set[tuple[str, str]]) -> str:
    told = {other for other in others if other[1] not in _EVERYWHERE}
    own = [name for layer in layers(package) for name in layer if (package, name) in told]
    away = sorted(".".join(other) for other in told if other[0] != package)
    return ", ".join([*own, *away])


def rooms(package: str, imports: Mapping[str, str], named: Mapping[str, list[str]]) -> Iterator[list[Room]]:
    """Layer by layer."""
    for layer in layers(package):
        yield [
            Room(
                package,
                name,
                _docstring(package, name),
                imports.get(f"{package}.{name}", ""),
                named.get(f"{package}/{name}", []),
            )
            for name in layer
        ]


def _docstring(package: str, name: str) -> str:
    folder = ROOT / package / name
    path = folder / "__init__.py" if folder.is_dir() else folder.with_suffix(".py")
    said = (ast.get_docstring(ast.parse(path.read_text())) or "").split("\n\n")[0].replace("\n", " ")
    first = re.split(r"(?<=\.) ", re.sub(r"^python -m [\w.]+: ", "", said))[0].rstrip(".").replace("`", "")
    return first[:1].upper() + first[1:]


def place(package: str, x: int, imports: Mapping[str, str], named: Mapping[str, list[str]]) -> list[Box]:
    """The boxes of a package's column."""
    boxes, y = [], _TOP
    for layer in rooms(package, imports, named):
        width = (_COLUMN - _SPACE * (len(layer) - 1)) // len(layer)
        texts = [_text(room, width) for room in layer]
        heights = [_height(room, lines, width) for room, lines in zip(layer, texts, strict=True)]
        for number, (room, lines) in enumerate(zip(layer, texts, strict=True)):
            boxes.append(Box(room, x + number * (width + _SPACE), y, width, max(heights), lines))
        y += max(heights) + _SPACE
    return boxes


def _text(room: Room, width: int) -> list[tuple[str, str]]:
    letters = int((width - 2 * _PAD) / _LETTER)
    lines = [("name", room.name if room.folder else f"{room.name}.py")]
    lines += [("says", line) for line in textwrap.wrap(room.says, letters)]
    if room.folder and room.uses:
        lines += [("uses", line) for line in textwrap.wrap(f"uses {room.uses}", letters)]
    return lines


def _height(room: Room, lines: Sequence[tuple[str, str]], width: int) -> int:
    rows = -(-len(room.steps) // max(1, (width - 2 * _PAD) // _BADGE))
    return 2 * _PAD + len(lines) * _LINE + rows * (_LINE + 3)


def _drawn(box: Box) -> Iterator[str]:
    kind = "folder" if box.room.folder else "door"
    yield f'<rect class="{kind}" x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="5"/>'
    y = box.y + _PAD - 3
    for style, line in box.lines:
        y += _LINE
        yield f'<text class="{style}" x="{box.x + _PAD}" y="{y}">{escape(line)}</text>'
    a_row = max(1, (box.width - 2 * _PAD) // _BADGE)
    for number, step in enumerate(box.room.steps):
        left, top = box.x + _PAD + number % a_row * _BADGE, y + 6 + number // a_row * (_LINE + 3)
        yield f'<rect x="{left}" y="{top}" width="{_BADGE - 3}" height="{_LINE}" rx="7" fill="{_COLOURS[step[0]]}"/>'
        yield f'<text class="step" x="{left + (_BADGE - 3) / 2:g}" y="{top + 11}">{step}</text>'


def _flow(x: int, label: str) -> Iterator[str]:
    """An arrow in the head, in front of a column or behind the last."""
    yield f'<text class="flow" x="{x - _GAP / 2:g}" y="32">{escape(label)}</text>'
    yield f'<path class="arrow" d="M{x - _GAP + 8} 44H{x - 14}" marker-end="url(#head)"/>'


def picture() -> str:
    """The whole SVG."""
    imports, named = used(), steps()
    step = _COLUMN + _GAP
    columns = [place(package, _GAP + number * step, imports, named) for number, package in enumerate(PACKAGES)]
    width = _GAP + len(PACKAGES) * step
    height = max(box.y + box.height for boxes in columns for box in boxes) + _MARGIN + 24
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', _STYLE]
    for number, package in enumerate(PACKAGES):
        x = _GAP + number * step
        parts.append(f'<text class="package" x="{x}" y="50">{package}</text>')
        parts += [part for box in columns[number] for part in _drawn(box)]
    parts += [part for number, label in enumerate(FLOW) for part in _flow(_GAP + number * step, label)]
    parts += _legend(height)
    return "\n".join([*parts, "</svg>", ""])


def _legend(height: int) -> Iterator[str]:
    x, y = _GAP, height - _MARGIN
    for way, text in (("Q", "one query, from the client to its answer"), ("C", "one click, from the log to a version")):
        yield f'<rect x="{x}" y="{y - 11}" width="{_BADGE - 3}" height="{_LINE}" rx="7" fill="{_COLOURS[way]}"/>'
        yield f'<text class="step" x="{x + (_BADGE - 3) / 2:g}" y="{y}">{way}</text>'
        yield f'<text class="says" x="{x + _BADGE + 4}" y="{y}">{text}</text>'
        x += 300
    for kind, text in (("door", "a file at the door"), ("folder", "a room")):
        yield f'<rect class="{kind}" x="{x}" y="{y - 11}" width="{_BADGE - 3}" height="{_LINE}" rx="3"/>'
        yield f'<text class="says" x="{x + _BADGE + 4}" y="{y}">{text}</text>'
        x += 170
    rule = "A room may import those below it; trainer and serving may import preprocessing."
    yield f'<text class="says" x="{x - 60}" y="{y}">{rule}</text>'


_STYLE = sheet("""\
.package { font-size: 20px; font-weight: bold }
.name { font-weight: bold; font-size: 12px }
.uses { fill: #6b7280; font-style: italic }
.step { fill: #fff; font-size: 10px; font-weight: bold; text-anchor: middle }
.flow { font-size: 11px; text-anchor: middle }
.folder { fill: #f8fafc; stroke: #94a3b8 }
.door { fill: #fef9c3; stroke: #ca8a04 }""")

if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
