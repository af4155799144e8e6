"""Draws docs/day.svg: the steps of a day, of the list in serving/release/day_steps.py.

python docs/draw_day.py
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from pathlib import Path
from xml.sax.saxutils import escape

from svg_style import sheet

from serving.release.day_steps import COMPARE, EVALUATE, GATE, PUBLISH, RECORDS, STEPS, TRAIN, Step, steps_of

PICTURE = Path(__file__).with_name("day.svg")
_WIDTH, _HEIGHT, _GAP, _MARGIN, _LETTERS = 178, 96, 34, 20, 27
_MADE = {
    RECORDS: "<day>/data/, state/",
    COMPARE: "compare.html, compared.json",
    TRAIN: "<day>/job/",
    EVALUATE: "<day>/job/metrics.json",
    GATE: "judged.json",
    PUBLISH: "models/<version>/",
}
_ENDS = {
    COMPARE: "past a limit: status 3, the day ends",
    GATE: "refused: the job before is served",
    PUBLISH: "turned down: rejected-N/, status 3",
}


def _x(step: Step) -> int:
    return _MARGIN + STEPS.index(step) * (_WIDTH + _GAP)


def _box(step: Step) -> Iterator[str]:
    x, y = _x(step), 92
    kind = "training" if step.trains else "daily"
    yield f'<rect class="{kind}" x="{x}" y="{y}" width="{_WIDTH}" height="{_HEIGHT}" rx="6"/>'
    lines = [
        ("name", step.name),
        ("command", step.module),
        *(("says", one) for one in textwrap.wrap(step.says, _LETTERS)),
    ]
    for number, (style, line) in enumerate(lines):
        yield f'<text class="{style}" x="{x + 10}" y="{y + 18 + number * 15}">{escape(line)}</text>'
    yield f'<text class="made" x="{x + 10}" y="{y + _HEIGHT + 18}">{escape(_MADE[step.name])}</text>'
    if step.name in _ENDS:
        yield f'<text class="ends" x="{x + 10}" y="{y + _HEIGHT + 34}">{escape(_ENDS[step.name])}</text>'


def _arrows() -> Iterator[str]:
    y = 92 + _HEIGHT // 2
    for step in STEPS[1:]:
        yield f'<path class="arrow" d="M{_x(step) - _GAP + 3} {y}H{_x(step) - 5}" marker-end="url(#head)"/>'
    before, after = (next(one for one in steps_of(trains=False) if one.name == name) for name in (COMPARE, PUBLISH))
    start, end = _x(before) + _WIDTH - 30, _x(after) + 30
    yield f'<path class="arrow" d="M{start} 92V62H{end}V87" marker-end="url(#head)"/>'
    yield f'<text class="says" x="{start + 12}" y="54">no job is due</text>'


def picture() -> str:
    """The whole SVG."""
    width = 2 * _MARGIN + len(STEPS) * (_WIDTH + _GAP) - _GAP
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="270" viewBox="0 0 {width} 270">', _STYLE]
    parts.append(f'<text class="title" x="{_MARGIN}" y="34">python -m serving.refresh --days</text>')
    parts += [part for step in STEPS for part in _box(step)]
    parts += _arrows()
    legend = "Blue: each day. Orange: where a job is due. A box is a step of the command and a task of the DAG."
    parts.append(f'<text class="says" x="{_MARGIN}" y="254">{legend}</text>')
    return "\n".join([*parts, "</svg>", ""])


_STYLE = sheet("""\
.title { font-size: 15px; font-weight: bold }
.name { font-weight: bold; font-size: 13px }
.command { fill: #6b7280; font-style: italic }
.made { font-family: 'DejaVu Sans Mono', monospace; font-size: 10px }
.ends { fill: #b91c1c; font-size: 10px }
.daily { fill: #eff6ff; stroke: #1d4ed8 }
.training { fill: #fff7ed; stroke: #c2410c }""")

if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
