"""Plots as inline SVG, for the pages that commands write."""

from __future__ import annotations

import io
import warnings
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "multigrain"  # the same figures, the same file


def new_plot(title: str, across: str, up: str, height: float = 4) -> tuple[Figure, Any]:
    """A figure of one plot, and its axes."""
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.subplots()
    axes.set(title=title, xlabel=across, ylabel=up)
    axes.grid(alpha=0.3)
    return figure, axes


def as_svg(figure: Figure) -> str:
    """The figure as an element of a page."""
    buffer = io.StringIO()
    # Letters as letters: a browser has those of every script.
    with mpl.rc_context({"svg.fonttype": "none"}), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph")
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]
