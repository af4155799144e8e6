"""python -m benchmarks.serve_models: a made version of so many items behind a tuned index, for benchmarks.serve.

Its index, its table of items and its search are those that serving.export writes; in the place of the towers stands a
table of query vectors, of which a query's text picks one. So what a server adds to a call is seen at its largest.

examples:
  python -m benchmarks.serve_models --items 100000 --index scann --output out/benchmarks/scann-100000
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.index_vectors import clusters
from benchmarks.made_items import ids_alone, in_graph
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags
from serving.config import ServingConfig, TuningConfig
from serving.graph.item_lookup import ItemLookup
from serving.graph.over_retrieval import OverRetrieval, growing_efforts
from serving.graph.signatures import save
from serving.index.base import Index
from serving.index.ground_truth import exact_rows
from serving.release.build_model import build_index
from serving.release.tune_effort import Tuned, served_effort, tune

_DIM, _K, _TUNED_BY = 64, 100, 500


class Made(tf.Module):
    """Q query vectors and a searcher."""

    def __init__(self, queries: np.ndarray, items: ItemLookup, over_retrieval: OverRetrieval) -> None:
        super().__init__()
        self.queries = tf.Variable(queries, trainable=False)
        self.items, self.over_retrieval = items, over_retrieval

    def answer(self, query: tf.Tensor) -> dict[str, tf.Tensor]:
        """A query `[B]` -> the items of the vector that its text picks."""
        embeddings = tf.gather(self.queries, tf.strings.to_hash_bucket_fast(query, self.queries.shape[0]))
        scores, rows = self.over_retrieval(embeddings, tf.fill([tf.shape(query)[0]], _K), None)
        return {"item_ids": self.items.ids_of(rows), "scores": scores}


def write_model(base: Path, items: int, kind: str) -> dict[str, Any]:
    """Writes version 1 under `base`; returns how its index was tuned."""
    vectors, queries = clusters(items, _DIM)
    base.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=base, prefix=".making-") as making:
        aside = Path(making)
        index = build_index(vectors, ServingConfig.model_validate({"index": kind}), f"{base.name}/{items}")
        tuned = _tuned(index, vectors, queries[:_TUNED_BY])
        filters = in_graph(ids_alone(items), aside)
        efforts = growing_efforts(served_effort(tuned), index.size)
        model = Made(queries, filters.items, OverRetrieval(index, filters, efforts, ServingConfig().max_k))
        answer = tf.function(model.answer, autograph=False)
        signature = answer.get_concrete_function(tf.TensorSpec([None], tf.string, "query"))
        save(model, str(aside / "model"), {"serving_default": signature})
        os.rename(aside / "model", base / "1")
    return {"items": items, "index": kind, "tuned": tuned.chosen.described()}


def _tuned(index: Index, vectors: np.ndarray, queries: np.ndarray) -> Tuned:
    return tune(index, queries, exact_rows([vectors], queries, _K), TuningConfig())


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.serve_models", description=__doc__)
    flags.add_argument("--items", type=int, default=100_000, help="default %(default)s")
    flags.add_argument("--index", choices=("scann", "portable", "brute_force"), default="scann")
    flags.add_argument("--output", type=Path, required=True, help="the model folder")
    given = flags.parse_args(argv)
    print(json.dumps(write_model(given.output, given.items, given.index)))
    return 0


if __name__ == "__main__":
    run_command(main)
