"""The plots of the report."""

from __future__ import annotations

import itertools

import pytest
from matplotlib.figure import Figure

from trainer.evaluation import plots


def test_no_bar_is_under_the_legend_and_no_name_over_its_neighbour(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[Figure] = []
    monkeypatch.setattr(plots, "as_svg", lambda figure: drawn.append(figure) or "")
    segments = ("head", "known users", "new users", "past elsewhere", "unseen items")
    figures = {f"recall@10/clicked/{one}": {"mean": 0.4} for one in segments}
    plots.recall_by_segment({"models": dict.fromkeys("abcdefgh", figures)}, segments, 10, "clicked")
    (figure,) = drawn
    figure.draw_without_rendering()
    (axes,), (legend,) = figure.axes, figure.legends
    assert not legend.get_window_extent().overlaps(axes.get_window_extent())
    names = [name.get_window_extent() for name in axes.get_xticklabels()]
    assert all(left.x1 < right.x0 for left, right in itertools.pairwise(names))
