"""Scorecard as people and as programs read them: one table on the terminal, one JSON object."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.scorecard import Scorecard

_PAIR_FIGURES = ("pairwise/ordered>clicked", "pairwise/ordered>shown", "pairwise/clicked>shown")


def metrics_of(
    found: Mapping[str, Scorecard], job: str, by_user: Bootstrap, by_query: Bootstrap | None
) -> dict[str, Any]:
    """For each model its figures, and for each other model the job's paired difference to it."""
    models, differences = {}, {}
    for name, figures in found.items():
        models[name] = _json(figures, by_user, by_query)
        if name != job:
            differences[name] = _json(found[job].minus(figures), by_user, by_query)
    return {"job": job, "models": models, "job_minus": differences}


def _json(figures: Scorecard, by_user: Bootstrap, by_query: Bootstrap | None) -> dict[str, Any]:
    estimates = figures.estimates(by_user, by_query)
    shown: dict[str, Any] = {name: one.json() for name, one in estimates.items() if one is not None}
    return shown | {name: {"mean": round(value, 5)} for name, value in figures.of_catalogue.items()}


def show_table(metrics: Mapping[str, Any]) -> None:
    """The main figures of every model, and the job's differences with their intervals."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    names = list(_main_figures(metrics))
    table = Table(title=f"{metrics['requests']:,} requests over {metrics['items']:,} items, exact search")
    table.add_column("", overflow="fold")  # a cut name could not be told from its neighbours
    for model in metrics["models"]:
        table.add_column(model, justify="right")
    for name in names:
        table.add_row(name, *(_cell(figures.get(name)) for figures in metrics["models"].values()))
    console.print(table)
    for other, figures in metrics["job_minus"].items():
        console.print(f"{metrics['job']} minus {other}: {_differences(figures, names)}", highlight=False)


def _main_figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    ks = metrics["k"]
    middle = ks[len(ks) // 2]
    for stage in ("ordered", "clicked"):
        yield from (f"recall@{k}/{stage}" for k in ks)
        yield f"ndcg@{middle}/{stage}"
    for segment in ("head", "torso", "tail", "known users", "new users", "unseen items"):
        yield f"recall@{middle}/clicked/{segment}"
    yield from _PAIR_FIGURES
    yield from (f"p_good@{k}" for k in ks if any(f"p_good@{k}" in one for one in metrics["models"].values()))
    yield f"coverage@{middle}"
    yield f"popularity@{middle}"


def _cell(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    if "low" not in figure:
        return f"{figure['mean']:.4f}"
    return f"{figure['mean']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"


def _differences(figures: Mapping[str, Mapping[str, float]], names: list[str]) -> str:
    said = []
    for name in names:
        figure = figures.get(name, {})
        if "low" in figure and name.count("/") < 2:
            sure = "" if figure["low"] <= 0 <= figure["high"] else "*"
            said.append(f"{name} {figure['mean']:+.4f}{sure}")
    return ", ".join(said) + " (*: the interval excludes zero)"
