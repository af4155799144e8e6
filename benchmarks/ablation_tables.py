"""docs/results.md and its plots, from what the evaluation measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.ablation_rows import MGDSPR_PARTS, MMSE_PARTS, MODELS, ROWS, Row
from benchmarks.claims import claims_table
from trainer.evaluation import plots
from trainer.evaluation.eval_requests import SEGMENTS
from trainer.evaluation.training_curves import scalar
from trainer.job.seed_folders import jobs_in

_FIGURES = (
    "recall@10/ordered",
    "recall@10/clicked",
    "recall@10/clicked/unseen items",
    "recall@100/clicked",
    "p_good_share@10",
    "pairwise/clicked>shown",
)
_PARTS_FIGURES = ("recall@10/ordered", "recall@10/clicked", "recall@10/clicked/unseen items", "p_good_share@10")
_PAST = "similar past queries"
_ONE_SEED = "*"
_HEAD = """# Results

Written by `python -m benchmarks.ablation`: it simulates the default market (`python -m preprocessing.simulate`), makes
the records, trains {rows} configs on them with {seeds}, and searches all {items:,} items exactly for {requests:,}
requests of the days after the training's. Means with 95 % intervals of a bootstrap over {over}; differences are paired.
Recall is the share of a request's ordered (or clicked) items among the K retrieved; `p_good_share` how many of the K
retrieved are relevant by the market's own graded truth, as a share of the most that can be; `pairwise` the share of
pairs within a request that are in the right order. "Similar past queries" retrieves what was clicked and ordered after
the training's most similar queries, without any model. The market is simulated. The tables say what each part does on
these logs, not on a shop's own.
"""


def write_results(path: Path, found: Mapping[str, Any], jobs: Path) -> None:
    """The page and its plots beside it; `found` has the metrics of each row that a claim is about."""
    metrics = next(iter(found.values()))
    path.parent.mkdir(parents=True, exist_ok=True)
    images = path.parent / "results"
    images.mkdir(exist_ok=True)
    models = metrics["models"]
    chosen = {"models": {n: models[n] for n in ("BM25", _PAST, *(row.name for row in MODELS))}, "k": metrics["k"]}
    drawings = {
        "recall_by_k": plots.recall_by_k(chosen, "ordered"),
        "recall_by_segment": plots.recall_by_segment(chosen, SEGMENTS, 10, "clicked"),
        "softmax_and_hinge": plots.curves(
            "Recall@100 of validation requests while training", "recall", _validations(jobs, ("mgdspr", "hinge"))
        ),
    }
    for name, drawing in drawings.items():
        (images / f"{name}.svg").write_text(drawing)
    path.write_text("\n".join(_page(metrics, found)) + "\n")


def _validations(jobs: Path, names: Sequence[str]) -> dict[str, Any]:
    found = {name: scalar(jobs_in(str(jobs / name))[0], "validation/recall_at_100") for name in names}
    return {name: curve for name, curve in found.items() if curve is not None}


def _page(metrics: Mapping[str, Any], found: Mapping[str, Any]) -> Iterator[str]:
    seeds = metrics["seeds"][metrics["job"]]
    said, over = ("one seed", "users") if seeds == 1 else (f"{seeds} seeds each ({_ONE_SEED}: one)", "users and seeds")
    yield _HEAD.format(rows=len(ROWS), items=metrics["items"], requests=metrics["requests"], seeds=said, over=over)
    yield "## Models\n"
    plain = [("BM25", "BM25 (title and brand)"), (_PAST, _PAST)]
    fused = (f"{metrics['job']} + words", "mgdspr and words, fused as validation chose")
    rows = [*plain, *((row.name, _said(row, metrics)) for row in MODELS), fused]
    yield from _table([(says, metrics["models"][name]) for name, says in rows])
    yield "![Recall by K](results/recall_by_k.svg)\n\n![Recall by segment](results/recall_by_segment.svg)\n"
    yield "## What the papers claim\n"
    yield "`comes out` where the interval of the difference lies above zero, `does not` where it lies below.\n"
    yield from claims_table(found, {row.name: row.says for row in ROWS})
    yield "## MGDSPR without its parts\n"
    yield "How much more the whole system has than it has without a part; bold where the interval excludes zero.\n"
    yield from _parts(metrics, MGDSPR_PARTS, metrics["job_minus"])
    yield "![Softmax and hinge](results/softmax_and_hinge.svg)\n"
    yield "## MMSE without its parts\n"
    rows_of_mmse = [Row("mmse", "mmse", "mmse"), *MMSE_PARTS]
    yield from _table([(_said(row, metrics), metrics["models"][row.name]) for row in rows_of_mmse])


def _said(row: Row, metrics: Mapping[str, Any]) -> str:
    """What a row is called, with a mark where it has one seed and the job has more."""
    seeds = metrics["seeds"]
    return f"{row.says}{_ONE_SEED}" if seeds[row.name] < seeds[metrics["job"]] else row.says


def _table(rows: Sequence[tuple[str, Mapping[str, Any]]]) -> Iterator[str]:
    yield f"| | {' | '.join(_FIGURES)} |"
    yield f"|---|{'---|' * len(_FIGURES)}"
    for says, figures in rows:
        yield f"| {says} | {' | '.join(_cell(figures.get(name)) for name in _FIGURES)} |"
    yield ""


def _parts(metrics: Mapping[str, Any], rows: Sequence[Row], minus: Mapping[str, Any]) -> Iterator[str]:
    names = _PARTS_FIGURES
    yield f"| | {' | '.join(names)} |"
    yield f"|---|{'---|' * len(names)}"
    whole = metrics["models"][metrics["job"]]
    yield f"| **{metrics['job']}, whole** | {' | '.join(_cell(whole.get(name)) for name in names)} |"
    for row in rows:
        yield f"| {_said(row, metrics)} | {' | '.join(_difference(minus[row.name].get(name)) for name in names)} |"
    yield ""


def _cell(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    half = (figure["high"] - figure["low"]) / 2
    return f"{figure['mean']:.3f} ± {half:.3f}"


def _difference(figure: Mapping[str, float] | None) -> str:
    if figure is None:
        return "-"
    said = f"{figure['mean']:+.4f} [{figure['low']:+.4f}, {figure['high']:+.4f}]"
    return said if figure["low"] <= 0 <= figure["high"] else f"**{said}**"
