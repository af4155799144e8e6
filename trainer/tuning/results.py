"""What a search leaves behind: each trial as a line, the best config, a table and a plot."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no screen is needed

from matplotlib import pyplot
from rich.console import Console
from rich.table import Table

from preprocessing.command.experiment import resolved_yaml
from trainer.config import TrainerConfig
from trainer.tuning.search import Trial


def write_trials(path: str, trials: Sequence[Trial]) -> None:
    """One JSON object a line."""
    keys = ("trial", "values", "state", "recall")
    _write(path, "".join(json.dumps(dict(zip(keys, trial, strict=True))) + "\n" for trial in trials))


def write_config(path: str, config: TrainerConfig) -> None:
    """A config to train with."""
    _write(path, resolved_yaml("trainer", config))


def print_table(trials: Sequence[Trial], best: Trial | None, k: int) -> None:
    """The trials, the best recall first."""
    table = Table("trial", *(trials[0].values if trials else ()), f"recall@{k}")
    for one in sorted(trials, key=lambda one: -1.0 if one.recall is None else one.recall, reverse=True):
        found = one.state if one.recall is None else f"{one.recall:.4f}"
        style = "bold" if best is not None and one.number == best.number else None
        table.add_row(str(one.number), *(shortly(value) for value in one.values.values()), found, style=style)
    Console().print(table)


def draw(path: str, trials: Sequence[Trial], config: TrainerConfig) -> None:
    """Recall by trial with the best so far, and by each key that was searched."""
    complete = [one for one in trials if one.recall is not None]
    recalls = [one.recall or 0.0 for one in complete]
    ranges = config.tune.ranges
    figure, axes = pyplot.subplots(
        1, 1 + len(ranges), figsize=(4.5 * (1 + len(ranges)), 3.6), sharey=True, squeeze=False, layout="constrained"
    )
    history, *by_key = axes[0]
    numbers = [one.number for one in complete]
    history.plot(numbers, recalls, "o", alpha=0.6)
    history.step(numbers, [max(recalls[: n + 1]) for n in range(len(recalls))], where="post", label="best so far")
    history.set(xlabel="trial", ylabel=f"recall@{config.validation.k}")
    history.xaxis.get_major_locator().set_params(integer=True)
    if complete:
        history.legend()
    for axis, (key, given) in zip(by_key, ranges.items(), strict=True):
        values: list[Any] = [one.values[key] for one in complete]
        axis.plot([shortly(value) for value in values] if given.choices else values, recalls, "o", alpha=0.6)
        axis.set_xlabel(key)
        if given.log:
            axis.set_xscale("log")
    part = f"{path}.part"
    figure.savefig(part, format="png", dpi=120)
    pyplot.close(figure)
    os.replace(part, path)


def shortly(value: Any) -> str:
    """A value as a person reads it."""
    return f"{value:.4g}" if isinstance(value, float) else json.dumps(value)


def _write(path: str, text: str) -> None:
    with open(f"{path}.part", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.part", path)
