"""Scorecard as people and as programs read them: one table on the terminal, one JSON object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from preprocessing.words.bootstrap import Bootstrap, Estimate
from trainer.evaluation.eval_requests import POSITIVE_STAGES, SEGMENTS
from trainer.evaluation.scorecard import Scorecard

_PAIR_FIGURES = ("pairwise/ordered>clicked", "pairwise/ordered>shown", "pairwise/clicked>shown")


def metrics_of(
    found: Mapping[str, Scorecard], job: str, by_user: Bootstrap, by_query: Bootstrap | None
) -> dict[str, Any]:
    """For each model its figures, and for each other model the job's paired difference to it."""
    bootstraps = (by_user, by_query or by_user)  # without judgments there is no figure of queries
    models = {name: _figures(one, bootstraps) for name, one in found.items()}
    minus = {name: _differences(found[job], one, bootstraps) for name, one in found.items() if name != job}
    return {"job": job, "models": models, "job_minus": minus}


def _figures(one: Scorecard, bootstraps: tuple[Bootstrap, Bootstrap]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for figures, bootstrap in zip(one[:2], bootstraps, strict=True):
        found |= {name: _json(bootstrap.estimate(values)) for name, values in figures.items()}
    found |= {name: {"mean": round(float(values.mean()), 5)} for name, values in one.of_catalogue.items()}
    return {name: figure for name, figure in found.items() if figure}


def _differences(job: Scorecard, other: Scorecard, bootstraps: tuple[Bootstrap, Bootstrap]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for ours, theirs, bootstrap in zip(job[:2], other[:2], bootstraps, strict=True):
        both = [name for name in ours if name in theirs]
        found |= {name: _json(bootstrap.difference(ours[name], theirs[name])) for name in both}
    for name, values in job.of_catalogue.items():
        found[name] = {"mean": round(float(values.mean() - other.of_catalogue[name].mean()), 5)}
    return {name: figure for name, figure in found.items() if figure}


def _json(estimate: Estimate | None) -> dict[str, float] | None:
    return None if estimate is None else estimate.json()


def show_table(metrics: Mapping[str, Any]) -> None:
    """The main figures of every model, and the job's paired differences at the first K with their intervals."""
    console = Console()
    if not console.is_terminal:
        console = Console(width=160)
    models, minus = metrics["models"], metrics["job_minus"]
    title = f"{metrics['requests']:,} requests over {metrics['items']:,} items, exact search"
    rows = ((name, [_cell(one.get(name)) for one in models.values()]) for name in _main_figures(metrics))
    console.print(_table(title, models, rows))
    title = f"{metrics['job']} minus each other, paired (*: the interval excludes zero)"
    rows = ((name, [_difference(one.get(name)) for one in minus.values()]) for name in _first_figures(metrics))
    console.print(_table(title, minus, rows))


def _table(title: str, columns: Iterable[str], rows: Iterable[tuple[str, Sequence[str]]]) -> Table:
    table = Table(title=title)
    table.add_column("", no_wrap=True, overflow="fold")  # a cut name could not be told from its neighbours
    for column in columns:
        table.add_column(column, justify="right")
    for name, cells in rows:
        table.add_row(name, *cells)
    return table


def _main_figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What the first table shows: every K of recall and of unseen items, and the first K of all else."""
    ks = metrics["k"]
    known = {name for one in metrics["models"].values() for name in one}
    for stage in POSITIVE_STAGES:
        yield from (f"recall@{k}/{stage}" for k in ks)
        yield f"ndcg@{ks[0]}/{stage}"
    for segment in SEGMENTS:
        yield from (f"recall@{k}/clicked/{segment}" for k in (ks if segment == "unseen items" else ks[:1]))
    yield from _PAIR_FIGURES
    judged = (f"{name}@{k}" for name in ("p_good", "p_good_share", "p_good_personal") for k in ks)
    yield from (name for name in judged if name in known)
    yield f"coverage@{ks[0]}"
    yield f"popularity@{ks[0]}"


def _first_figures(metrics: Mapping[str, Any]) -> Iterator[str]:
    """What the second table compares, all at the first K."""
    k = metrics["k"][0]
    for stage in POSITIVE_STAGES:
        yield from (f"{name}@{k}/{stage}" for name in ("recall", "ndcg"))
    yield f"recall@{k}/clicked/unseen items"
    if any(f"p_good@{k}" in one for one in metrics["job_minus"].values()):
        yield f"p_good@{k}"


def _cell(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    if "low" not in figure:
        return f"{figure['mean']:.4f}"
    return f"{figure['mean']:.4f} [{figure['low']:.4f}, {figure['high']:.4f}]"


def _difference(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    sure = " " if figure["low"] <= 0 <= figure["high"] else "*"
    return f"{figure['mean']:+.4f} [{figure['low']:+.4f}, {figure['high']:+.4f}]{sure}"
