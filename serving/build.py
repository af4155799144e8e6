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
from serving.fresh import FRESH_FILE, Changes, amend, write_fresh_ids
from serving.gate import Held
from serving.index.base import Found, Index
from serving.index.brute_force import BruteForce
from serving.index.portable import build_portable
from serving.items import Items
from serving.records import Requests, catalog_batches
from serving.retrieval import Retrieval, no_conditions, tower_inputs
from serving.towers import Tower, load_tower
from serving.tuning import Tuned, rows_of, served_effort, tune
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

    def build(
        self, aside: Path, version: int, requests: Requests, widths: Mapping[str, int], changes: Changes
    ) -> Built:
        """Saves the model as `<aside>/model`."""
        clock = Clock()
        table, vectors = embed_catalogue(self._data_dir, self._spec, self._item_tower, str(aside / "vectors"))
        clock.lap("embed")
        index = build_index(vectors, self._config, f"{aside.parent.name}/{version}/{aside.name}")
        del vectors
        (aside / "vectors").unlink()
        clock.lap("index")
        items = self._items(table, aside)
        queries = embed_requests(self._query_tower, items, requests)
        tuned = tune(index, queries, self._config.tuning)
        clock.lap("tune")
        widening = Widening(index, items, widening_efforts(served_effort(tuned), index.size))
        config = self._config
        model = Retrieval(self._query_tower, self._item_tower, items, widening, widths, config.default_k, config.max_k)
        counts, fresh_ids = amend(model, index.size, changes, self._item_tower, text_limits(self._spec))
        held = _held(widening, queries, tuned, config.tuning.target_recall)
        options = tf.saved_model.SaveOptions(namespace_whitelist=["Scann"])
        tf.saved_model.save(model, str(aside / "model"), signatures=model.signatures(), options=options)
        if fresh_ids is not None:
            write_fresh_ids(aside / "model" / "assets", fresh_ids)
        clock.lap("save")
        first = {name: values.numpy() for name, values in next(iter(catalog_batches(self._data_dir, 8))).items()}
        warmups = write_warmup(aside / "model", requests, first, dict(widths), index.dim, config.default_k)
        described = {
            "items": len(table),
            "dim": index.dim,
            "index": {"kind": index.kind, **index.settings()},
            "side_index": counts,
            "warmup_requests": warmups,
            "seconds": clock.laps,
        }
        return Built(tuned, held, described)

    def _items(self, table: Table, aside: Path) -> Items:
        """The table in the graph; its files of ids become assets."""
        path = aside / "items.txt"
        path.write_bytes(b"".join(one + b"\n" for one in table.ids.tolist()))
        write_fresh_ids(aside, [])
        return Items(table, str(path), str(aside / FRESH_FILE), *text_limits(self._spec))


class Clock:
    """What took how long."""

    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._since = time.perf_counter()

    def lap(self, name: str) -> None:
        """Seconds since the last lap."""
        now = time.perf_counter()
        self.laps[name] = round(now - self._since, 2)
        self._since = now


def text_limits(spec: Mapping[str, Any]) -> tuple[int, int]:
    """How much of a text the analyser keeps."""
    return spec["text"]["max_chars"], spec["text"]["max_words"]


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


def _held(widening: Widening, queries: np.ndarray, tuned: Tuned, target: float) -> Held:
    """The exact answers, fresh items among them and tombstones not."""

    def exact(some: tf.Tensor) -> Found:
        return widening.everything(some, tf.constant(tuned.k), no_conditions(tf.shape(some)[0]))

    rows = rows_of(exact, queries)
    return Held(queries, widening.items.ids_of(rows).numpy(), target)
