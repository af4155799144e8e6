"""The catalogue's vectors: those of an earlier run as they are, the others through the item tower, all in one file."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError, progress
from preprocessing.data.features import VECTOR
from serving.batch.answer_files import CONTENT, read_table, vectors_of
from serving.batch.output_folder import MANIFEST, BatchFolder
from serving.batch.rows import content_hash, price_bytes
from serving.catalogue.data_records import Strings, catalog_batches
from serving.catalogue.table import Table, TableBuilder
from serving.graph.item_encoder import ItemEncoder
from serving.inputs import ITEM_INPUTS, ITEM_PRICE, item_inputs

_BLOCK = 4_096


def embed_catalogue(
    data_dir: str,
    spec: dict[str, Any],
    encoder: ItemEncoder,
    path: str,
    precomputed: PrecomputedVectors | None = None,
    descriptions: bool = False,
) -> tuple[Table, np.ndarray]:
    """Embeds every live item of `data_dir`.

    Args:
      data_dir: the folder of `preprocessing.pipeline`.
      spec: its spec.json.
      encoder: the item tower's.
      path: a file to write the vectors to, `N * dim` float32.
      precomputed: vectors of these towers; an item that is among them as it is does not pass through the tower.
      descriptions: whether the table has the words of items' descriptions, too.

    Returns:
      The table of N items, and their vectors `[N, dim]`, mapped from `path`.
    """
    builder = TableBuilder()
    wanted = item_inputs(encoder.vocabularies.encoding)
    embed = tf.function(encoder, reduce_retracing=True, autograph=False)
    with open(path, "wb") as file, progress("items embedded", total=spec["items"]) as bar:
        for batch in catalog_batches(data_dir, _BLOCK, encoder.vector_width, descriptions):
            file.write(_vectors(embed, {name: batch[name] for name in wanted}, precomputed).tobytes())
            builder.add(batch)
            bar.advance(len(batch["item_id"]))
    table = builder.table(f"--data {data_dir}: catalog-*.tfrecord.gz")
    if not len(table):
        raise UserError(f"--data {data_dir}: its catalogue is empty; there is nothing to index")
    return table, np.memmap(path, np.float32, "c", shape=(len(table), encoder.dim))


def _vectors(
    embed: Callable[[Strings], tf.Tensor], items: Strings, precomputed: PrecomputedVectors | None
) -> np.ndarray:
    """float32 `[B, dim]` of items, the precomputed ones' as they are."""
    if precomputed is None:
        return checked_vectors(embed(items), items)
    vectors, known = precomputed.vectors(items)
    if not known.all():
        others = {name: tf.boolean_mask(values, ~known) for name, values in items.items()}
        vectors[~known] = checked_vectors(embed(others), others)
    return vectors


def checked_vectors(vectors: tf.Tensor, items: Strings) -> np.ndarray:
    """Vectors `[B, dim]` that are all finite: an index would return the others for every query, or for none."""
    found = vectors.numpy()
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        first = items["item_id"].numpy()[bad[0]].decode(errors="replace")
        raise UserError(f"the item tower gives item {first!r} a vector that is not finite; train the towers again")
    return found


class PrecomputedVectors:
    """The vectors of N items, found by their content."""

    def __init__(self, folder: str, towers: str) -> None:
        batch = BatchFolder(folder)
        manifest = batch.manifest()
        if manifest is None or manifest["mode"] != "embed":
            raise UserError(f"--vectors {folder}: no {MANIFEST} of --mode embed in it; write it with serving.batch")
        if manifest["identity"]["towers_hash"] != towers:
            raise UserError(f"--vectors {folder} is of other towers than --job-dir; run serving.batch on it again")
        tables = [read_table(path) for path in batch.files()]
        self._vectors = np.concatenate([vectors_of(table) for table in tables])
        contents = [one for table in tables for one in table[CONTENT].to_pylist()]
        self._rows = {content: row for row, content in enumerate(contents)}
        self.taken = 0

    def vectors(self, items: Strings) -> tuple[np.ndarray, np.ndarray]:
        """float32 `[B, dim]` of items, and bool `[B]`, which of them are known; the others' rows are of no meaning."""
        columns = [items[name].numpy().tolist() for name in ITEM_INPUTS]
        if ITEM_PRICE in items:
            columns.append([price_bytes(one) for one in items[ITEM_PRICE].numpy().tolist()])
        if VECTOR in items:
            columns.append([one.tobytes() for one in items[VECTOR].numpy()])
        contents = map(content_hash, zip(*columns, strict=True))
        rows = np.array([self._rows.get(content, -1) for content in contents], np.int64)
        known = rows >= 0
        self.taken += int(known.sum())
        return self._vectors[rows], known
