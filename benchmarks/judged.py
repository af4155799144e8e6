"""python -m benchmarks.judged: a real catalogue, queries rated by people, every model beside BM25 and fused with it.

The rated queries are cut into folds; for each fold the models train on the labels of the other queries and are asked
the fold's, so that every query is asked once by a model that never saw a label of it. Beside the labels each model
trains on the catalogue's own texts as queries (`--catalog-requests`, their share of a batch; 0: none). Recall@K
is the share of a query's items of label 2 and more (the mean of its raters) that are among the K retrieved of the whole
catalogue; fused rows are the model's and BM25's lists by reciprocal rank, once with both alike and once with
the model's places weighted by what did best in the other folds. Intervals are of a bootstrap over queries,
differences to BM25 are paired. What is done is not done again. The last line of stdout is one JSON object.

example:
  python -m benchmarks.judged --data ../shared/data/chorus --output out/judged
"""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.ablation import Steps
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_CONFIG = "configs/judged.yaml"
_STAGES = "ordered>=3,clicked>=2"
_KS = (10, 100, 1000)
_MEMORY = 512 << 20
_WEIGHTS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 1.0)  # of a model's place against BM25's
# Rated queries have no user, and no item was ever chosen: neither a past nor an id says anything.
_COLD: tuple[str, ...] = ("horizons.realtime.on=false", "horizons.short.on=false", "horizons.long.on=false")
_COLD += ("grains.history=false", "item.id=false")
MODELS: dict[str, tuple[str, ...]] = {
    "tfrs": ("tfrs.dim=64",),
    "dnn": ("dnn.attributes=[brand, shop, leaf, top]", "dnn.behaviours=false"),
    "mgdspr": tuple(f"mgdspr.{one}" for one in _COLD),
    "mmse": tuple(f"mmse.{one}" for one in _COLD),
}
_TRAINING: tuple[str, ...] = ("training.histograms=false",)
# The requests to validate on are the fold's own: the one validation is at the end, and chooses nothing.
_TRAINING += ("validation.every_steps=1000000", "validation.requests=64")


def make_fold(steps: Steps, folder: Path, fold: int, given: argparse.Namespace) -> dict[str, float]:
    """Streams, records and trained models of one fold; the seconds each model took."""
    source, own = given.data.absolute(), fold_folder(folder, fold, given)
    files = ("--products", str(source / "catalog.jsonl.gz"), "--judgments", str(source / "judgments.jsonl"))
    split = ("--test-share", str(given.test_share), "--fold", str(fold))
    steps.run(f"streams {fold}", "preprocessing.adapt", "judged", *files, "--stages", _STAGES, *split, f"{own}/raw")
    place = ("--input", f"{own}/raw", "--output", f"{own}/data")
    steps.run(f"records {fold}", "preprocessing.pipeline", "--config", _CONFIG, *place)
    training = (f"data.catalog_requests={given.catalog_requests:g}", f"training.steps={given.steps}")
    seconds = {}
    for name, parts in MODELS.items():
        keys = (*parts, *_TRAINING, *training, f"seed={given.seed}")
        sets = [part for one in keys for part in ("--set", f"trainer.{one}")]
        place = ("--data", f"{own}/data", "--job-dir", f"{own}/{name}")
        seconds[name] = steps.run(f"{name} {fold}", "trainer.task", "--config", f"configs/{name}.yaml", *place, *sets)
    return seconds


def fold_folder(folder: Path, fold: int, given: argparse.Namespace) -> Path:
    """Where a fold's files lie: what they depend on is in the name."""
    made = f"of-{given.test_share:g}-made-{given.catalog_requests:g}-steps-{given.steps}-seed-{given.seed}"
    return folder / f"fold-{fold}-{made}"


def ask_fold(own: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """The fold's queries, and by retriever Recall `[queries, Ks]`."""
    from trainer.evaluation.catalogue import Catalogue
    from trainer.evaluation.eval_requests import EvalRequests
    from trainer.evaluation.rank_fusion import fused
    from trainer.evaluation.retrievers import Setting, ask_bm25, ask_job

    data = str(own / "data")
    catalogue = Catalogue(data)
    eval_requests = EvalRequests(data, catalogue, None)
    setting = Setting(data, catalogue, eval_requests, None, min(max(_KS), len(catalogue)), _MEMORY)
    bm25 = ask_bm25(setting)
    jobs = [ask_job(name, str(own / name), setting) for name in MODELS]
    relevant = [
        np.concatenate([eval_requests.stages[s].of(n) for s in ("ordered", "clicked")])
        for n in range(len(eval_requests))
    ]
    found = {one.name: recall(one.ranking.rows, relevant) for one in (bm25, *jobs)}
    for job in jobs:
        for weight in _WEIGHTS:
            both = fused(job.ranking, bm25.ranking, weight=weight)
            found[f"{job.name} + BM25, {weight:g}"] = recall(both.rows, relevant)
    return [query.decode() for query in eval_requests.queries], found


def asked_once(own: Path, seconds: Mapping[str, float]) -> tuple[list[str], dict[str, np.ndarray]]:
    """What `ask_fold` says of the models that took these seconds to train."""
    path = own / "asked.json"
    known = json.loads(path.read_text()) if path.exists() else {}
    if known.get("train_seconds") != seconds:
        queries, found = ask_fold(own)
        recalls = {name: values.tolist() for name, values in found.items()}
        known = {"train_seconds": seconds, "queries": queries, "recalls": recalls}
        aside = path.with_suffix(".part")
        aside.write_text(json.dumps(known))
        aside.rename(path)
    return known["queries"], {name: np.array(values) for name, values in known["recalls"].items()}


def weighted(asked: Sequence[Mapping[str, np.ndarray]]) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """Each model fused by the weight that is best, over all Ks, in the other folds; and these weights."""
    recalls, chosen = {}, {}
    for name in MODELS:
        weights = []
        for fold in range(len(asked)):
            others = [one for place, one in enumerate(asked) if place != fold]
            reached = [sum(one[f"{name} + BM25, {weight:g}"].sum() for one in others) for weight in _WEIGHTS]
            weights.append(_WEIGHTS[int(np.argmax(reached))])
        own = [one[f"{name} + BM25, {weight:g}"] for one, weight in zip(asked, weights, strict=True)]
        recalls[f"{name} + BM25, weighted"], chosen[name] = np.concatenate(own), weights
    return recalls, chosen


def recall(rows: np.ndarray, relevant: Sequence[np.ndarray]) -> np.ndarray:
    """Of each query's relevant rows the share among the first K: `[queries, Ks]`."""
    return np.array(
        [[np.isin(own, found[:k]).sum() / len(own) for k in _KS] for found, own in zip(rows, relevant, strict=True)]
    )


def figures(queries: Sequence[str], recalls: Mapping[str, np.ndarray], seed: int) -> dict[str, Any]:
    """Means with intervals by retriever, and each one's paired difference to BM25."""
    from preprocessing.words.bootstrap import Bootstrap

    by_query = Bootstrap(np.array(queries), seed)

    def at_each(values: np.ndarray) -> dict[str, Any]:
        estimates = {f"recall@{k}": by_query.estimate(values[:, place]) for place, k in enumerate(_KS)}
        return {name: one.json() for name, one in estimates.items() if one is not None}

    return {
        "models": {name: at_each(values) for name, values in recalls.items()},
        "minus_bm25": {name: at_each(values - recalls["BM25"]) for name, values in recalls.items() if name != "BM25"},
    }


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.judged", description=__doc__)
    flags.add_argument("--data", type=Path, required=True, help="folder of catalog.jsonl.gz and judgments.jsonl")
    flags.add_argument("--output", default="out/judged", help="folder of logs, records and jobs (default %(default)s)")
    flags.add_argument("--test-share", type=float, default=0.2, help="of the queries in a fold (default %(default)s)")
    flags.add_argument(
        "--catalog-requests", type=float, default=0.93, help="their share of a training batch (default %(default)s)"
    )
    flags.add_argument("--steps", type=int, default=1000, help="of each training (default %(default)s)")
    flags.add_argument("--seed", type=int, default=17, help="of models and bootstrap (default %(default)s)")
    given = flags.parse_args(argv)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # a tower traced for each model is no mistake
    if not (given.data / "catalog.jsonl.gz").is_file() or not (given.data / "judgments.jsonl").is_file():
        raise UserError(f"--data {given.data}: it has to hold catalog.jsonl.gz and judgments.jsonl")
    if not 0 < given.test_share <= 0.5:
        raise UserError(f"--test-share {given.test_share:g}: above 0, and at most 0.5")
    if not 0 <= given.catalog_requests < 1:
        raise UserError(f"--catalog-requests {given.catalog_requests:g}: a share from 0 to below 1")
    if given.steps < 1:
        raise UserError(f"--steps {given.steps}: at least 1")
    folder = Path(given.output).absolute()
    steps, folds = Steps(folder), int(1 / given.test_share + 1e-9)
    seconds = [make_fold(steps, folder, fold, given) for fold in range(folds)]
    asked = [asked_once(fold_folder(folder, fold, given), seconds[fold]) for fold in range(folds)]
    queries = [query for found, _ in asked for query in found]
    shown = ["BM25", *MODELS, *(f"{name} + BM25, 1" for name in MODELS)]
    recalls = {name: np.concatenate([found[name] for _, found in asked]) for name in shown}
    by_weight, weights = weighted([found for _, found in asked])
    recalls |= by_weight
    asking = {"queries": len(queries), "folds": folds, "catalog_requests": given.catalog_requests}
    print(json.dumps({**asking, "train_seconds": seconds, "weights": weights, **figures(queries, recalls, given.seed)}))
    return 0


if __name__ == "__main__":
    run_command(main)
