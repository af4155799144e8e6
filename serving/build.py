"""From towers and a catalogue to a saved model: embed, index, tune, save."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.console import UserError
from serving.catalogue import Table
from serving.config import ServingConfig
from serving.embed import embed_catalogue
from serving.gate import Held
from serving.index.base import Index
from serving.index.brute_force import BruteForce
from serving.index.portable import build_portable
from serving.items import Items
from serving.records import Requests, catalog_batches
from serving.retrieval import Retrieval, tower_inputs
from serving.towers import Tower, load_tower
from serving.tuning import Tuned, exact_rows, served_effort, tune
from serving.warmup import write_warmup
from serving.widening import Widening, widening_efforts

_BATCH = 64


class Built(NamedTuple):
    """What is known of a saved model besides its files."""

    tuned: Tuned
    held: Held
    described: dict[str, Any]  # for the manifest


class Builder:
    """Writes one version into a folder aside."""

    def __init__(self, config: ServingConfig, job_dir: str, data_dir: str, spec: dict[str, Any]) -> None:
        self._config, self._data_dir, self._spec = config, data_dir, spec
        self._query_tower = load_tower(job_dir, "query")
        self._item_tower = load_tower(job_dir, "item")
        if self._query_tower.dim != self._item_tower.dim:
            raise UserError(
                f"--job-dir {job_dir}: towers/query gives vectors of width {self._query_tower.dim}, "
                f"towers/item of width {self._item_tower.dim}; they are not of one job"
            )

    def build(self, aside: Path, version: int, requests: Requests, widths: Mapping[str, int]) -> Built:
        """Saves the model as `<aside>/model`."""
        times = {}
        started = time.perf_counter()
        table, vectors = embed_catalogue(self._data_dir, self._spec, self._item_tower, str(aside / "vectors"))
        times["embed_s"] = time.perf_counter() - started
        started = time.perf_counter()
        index = build_index(vectors, self._config, f"{aside.parent.name}/{version}/{aside.name}")
        del vectors
        (aside / "vectors").unlink()
        times["index_s"] = time.perf_counter() - started
        started = time.perf_counter()
        items = _items(table, aside, self._spec)
        queries = embed_requests(self._query_tower, items, requests)
        tuned = tune(index, queries, self._config.tuning)
        held = _held(index, table, queries, tuned, self._config.tuning.target_recall)
        times["tune_s"] = time.perf_counter() - started
        started = time.perf_counter()
        self._save(aside / "model", items, index, tuned, widths)
        times["save_s"] = time.perf_counter() - started
        first = {name: values.numpy() for name, values in next(iter(catalog_batches(self._data_dir, 8))).items()}
        k = self._config.default_k
        warmups = write_warmup(aside / "model", requests, first, dict(widths), index.dim, k)
        described = {
            "items": len(table),
            "dim": index.dim,
            "index": {"kind": index.kind, **index.settings()},
            "warmup_requests": warmups,
            "seconds": {name: round(value, 2) for name, value in times.items()},
        }
        return Built(tuned, held, described)

    def _save(self, path: Path, items: Items, index: Index, tuned: Tuned, widths: Mapping[str, int]) -> None:
        efforts = widening_efforts(served_effort(tuned), index.size)
        fresh, alive = tf.zeros([0, index.dim]), tf.ones([items.size], tf.bool)
        widening = Widening(index, items, efforts, fresh, alive)
        config = self._config
        model = Retrieval(self._query_tower, self._item_tower, items, widening, widths, config.default_k, config.max_k)
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        tf.saved_model.save(model, str(path), signatures=model.signatures(), options=options)


def build_index(vectors: np.ndarray, config: ServingConfig, name: str) -> Index:
    """The index of the config's kind over float32 `[N, dim]`; `name` is the version's own."""
    if config.index == "brute_force":
        return BruteForce(vectors)
    if config.index == "portable":
        return build_portable(vectors, config.portable)
    from serving.index.scann import build_scann  # loads ScaNN's ops, which the other kinds do without

    return build_scann(vectors, config.scann, name)


def embed_requests(tower: Tower, items: Items, requests: Requests) -> np.ndarray:
    """The vectors of requests float32 `[R, dim]`, their items looked up as the served model does."""
    embed = tf.function(lambda inputs: tower(tower_inputs(items, inputs)), reduce_retracing=True, autograph=False)
    parts = [embed({n: tf.constant(v) for n, v in one.inputs.items()}).numpy() for one in requests.batches(_BATCH)]
    return np.concatenate(parts)


def _items(table: Table, aside: Path, spec: dict[str, Any]) -> Items:
    """The table in the graph; its file of ids becomes an asset."""
    path = aside / "items.txt"
    path.write_bytes(b"".join(one + b"\n" for one in table.ids.tolist()))
    return Items(table, str(path), spec["text"]["max_chars"], spec["text"]["max_words"])


def _held(index: Index, table: Table, queries: np.ndarray, tuned: Tuned, target: float) -> Held:
    return Held(queries, table.ids[exact_rows(index, queries, tuned.k)], target)
