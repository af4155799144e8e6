"""The picture of `benchmarks.days`: recall day after day, of jobs that go on and of jobs trained anew."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any


def plot(compared: Sequence[dict[str, Any]], figures: Sequence[str], path: Path) -> None:
    """A curve a kind of training and a panel a figure, with the intervals of training anew as a band."""
    from matplotlib.figure import Figure

    days = [int(one["day"]) for one in compared]
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(figures)), figures, strict=True):
        anew = [one["anew"][name] for one in compared]
        low, high = ([one[end] for one in anew] for end in ("low", "high"))
        axes.fill_between(days, low, high, alpha=0.2, label="its interval")
        axes.plot(days, [one["mean"] for one in anew], marker="o", markersize=4, label="trained anew on everything")
        going_on = [one["going_on"][name]["mean"] for one in compared]
        axes.plot(days, going_on, marker="s", markersize=4, label="going on, a fifth of the steps")
        axes.set(xlabel="day", ylabel=name, xticks=days, ylim=(0, None))
        axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, metadata={"Date": None})
