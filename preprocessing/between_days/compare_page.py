"""The page of a comparison: a table of what changed, and plots of the values that drifted."""

from __future__ import annotations

import html
from collections.abc import Iterator, Mapping

import numpy as np
from apache_beam.io.filesystems import FileSystems
from matplotlib.figure import Figure

from preprocessing.between_days.compare_folders import Comparison
from preprocessing.between_days.divergence import Shares, shares
from preprocessing.between_days.findings import Finding
from preprocessing.between_days.sample_records import Sample
from preprocessing.command.svg import as_svg, new_plot

_SHOWN = 15  # values of a distribution
_LONGEST = 40  # letters of one
_STYLE = """
body { font: 14px/1.4 sans-serif; margin: 2em auto; max-width: 1100px; color: #222 }
table { border-collapse: collapse; margin: 1em 0 } td, th { padding: 2px 10px; text-align: right }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left }
tr:nth-child(even) { background: #f5f5f5 } tr.broken { background: #fde2e2; font-weight: bold }
svg { max-width: 100%; height: auto }
"""
HEADS = ("check", "of", "before", "now", "change", "by sampling", "limit")


def write_page(path: str, title: str, found: Comparison) -> None:
    """Writes the page."""
    findings = sorted(found.findings, key=lambda one: -one.reach)
    rows = "".join(_row(one) for one in findings)
    head = "".join(f"<th>{name}</th>" for name in HEADS)
    parts = [f"<h1>{html.escape(title)}</h1><p>{html.escape(found.sizes)}</p>"]
    parts.append(f"<table><tr>{head}</tr>{rows}</table>")
    parts += _plots(found.samples)
    page = f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title><style>{_STYLE}</style>"
    with FileSystems.create(path, "text/html") as file:
        file.write("\n".join([page, *parts]).encode())


def cells(finding: Finding) -> tuple[str, ...]:
    """A row of the table."""
    days = ("" if one is None else _number(one) for one in (finding.before, finding.now))
    figures = (f"{one:.3f}" for one in (finding.change, finding.floor))
    return (finding.check, finding.of, *days, *figures, f"{finding.limit:g}")


def _number(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 1_000 else f"{figure:.3g}"


def _row(finding: Finding) -> str:
    kind = " class='broken'" if finding.broken else ""
    return f"<tr{kind}>{''.join(f'<td>{html.escape(one)}</td>' for one in cells(finding))}</tr>"


def _plots(samples: Mapping[str, tuple[Sample, Sample]]) -> Iterator[str]:
    for split, (before, now) in samples.items():
        for name in now.values:
            yield as_svg(_changes(f"{split} {name}", shares(before.values[name], now.values[name])))


def _changes(title: str, both: Shares) -> Figure:
    """The values whose shares changed most, a pair of bars each."""
    figure, axes = new_plot(f"{title}: what changed most", "share", "", height=5)
    most = np.argsort(-abs(both.now - both.before), kind="stable")[:_SHOWN][::-1]
    places = np.arange(len(most))
    axes.barh(places + 0.2, both.before[most], 0.4, label="before")
    axes.barh(places - 0.2, both.now[most], 0.4, label="now")
    axes.set_yticks(places, [_label(both.values[one]) for one in most])
    axes.legend()
    return figure


def _label(value: bytes) -> str:
    text = value.decode(errors="replace").replace("$", r"\$")  # which begins a formula
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
