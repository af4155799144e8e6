"""Our indexes as `serving.export` builds, tunes and saves them, and as the server calls them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from benchmarks.index_subjects import K, Search, Tuned
from benchmarks.made_items import ids_alone, in_graph
from serving.config import ServingConfig, TuningConfig
from serving.graph.over_retrieval import OverRetrieval, growing_efforts
from serving.graph.signatures import Searcher, save
from serving.index.base import Index
from serving.release.build_model import build_index
from serving.release.tune_effort import served_effort, tune
from serving.runtime.servable import Parallelism, Servable


def build(name: str, vectors: np.ndarray) -> Served:
    """One of them."""
    return Served(name, vectors)


class Served:
    """An index of one kind; once tuned it is a SavedModel in a graph session, and is called there."""

    def __init__(self, kind: str, vectors: np.ndarray) -> None:
        self._index: Index = build_index(vectors, ServingConfig(index=kind), f"benchmark/{kind}")
        self.bytes = self._index.bytes

    def tuned(self, queries: np.ndarray, truth: np.ndarray, target: float) -> Tuned:
        """By the export's own tuning; the curve is that of the index alone."""
        found = tune(self._index, queries, truth, TuningConfig(target_recall=target, k=K))
        curve = [{**p.effort._asdict(), "recall": p.recall, "single_ms": p.latency_ms} for p in found.curve]
        effort = served_effort(found)
        search, bare = self._saved(effort)
        return Tuned(effort._asdict(), curve, found.reached, {"search": search, "bare": bare})

    def _saved(self, effort: Any) -> tuple[Search, Search]:
        """The signature `search`, and the index's search alone as a signature of its own."""
        with tempfile.TemporaryDirectory() as folder:
            aside = Path(folder)
            items = in_graph(ids_alone(self._index.size), aside)
            efforts = growing_efforts(effort, self._index.size)
            searcher = Searcher(items.items, OverRetrieval(self._index, items, efforts, ServingConfig().max_k), {})
            bare = tf.function(
                lambda embedding: dict(zip(("scores", "rows"), self._index.search(embedding, effort), strict=True)),
                input_signature=[tf.TensorSpec([None, self._index.dim], tf.float32, "embedding")],
                autograph=False,
            )
            searcher.bare = bare
            signatures = searcher.signatures(filtered=False) | {"bare": bare}
            save(searcher, str(aside / "model"), signatures)
            del self._index, searcher, bare
            served = Servable("benchmark", 1, str(aside / "model"), Parallelism())
        calls = {name: served.signatures[name].call for name in ("search", "bare")}
        return (lambda queries: calls["search"](queries, np.full(len(queries), K, np.int32))[0]), (
            lambda queries: calls["bare"](queries)[0]
        )
