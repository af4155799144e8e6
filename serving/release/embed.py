"""The catalogue through the item tower, in blocks, into one file of float32 that is mapped, not held."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError, progress
from serving.catalogue.data_records import Strings, catalog_batches
from serving.catalogue.table import Table, TableBuilder
from serving.graph.towers import Tower

if TYPE_CHECKING:
    from serving.release.stored_vectors import StoredVectors

_BLOCK = 4_096


def embed_catalogue(
    data_dir: str, spec: dict[str, Any], tower: Tower, path: str, stored: StoredVectors | None = None
) -> tuple[Table, np.ndarray]:
    """Embeds every live item of `data_dir`.

    Args:
      data_dir: the folder of `preprocessing.pipeline`.
      spec: its spec.json.
      tower: the item tower.
      path: a file to write the vectors to, `N * dim` float32.
      stored: vectors of these towers; an item that is among them as it is does not pass through the tower.

    Returns:
      The table of N items, and their vectors `[N, dim]`, mapped from `path`.
    """
    builder = TableBuilder(spec["text"]["max_chars"], spec["text"]["max_words"])
    embed = tf.function(tower, reduce_retracing=True, autograph=False)
    with open(path, "wb") as file, progress("items embedded", total=spec["items"]) as bar:
        for batch in catalog_batches(data_dir, _BLOCK):
            file.write(_vectors(embed, batch, stored).tobytes())
            builder.add(batch)
            bar.advance(len(batch["item_id"]))
    table = builder.table(f"--data {data_dir}: catalog-*.tfrecord.gz")
    if not len(table):
        raise UserError(f"--data {data_dir}: its catalogue is empty; there is nothing to index")
    return table, np.memmap(path, np.float32, "c", shape=(len(table), tower.dim))


def _vectors(embed: Callable[[Strings], tf.Tensor], items: Strings, stored: StoredVectors | None) -> np.ndarray:
    """float32 `[B, dim]` of items, the stored ones' as they are."""
    if stored is None:
        return checked_vectors(embed(items), items)
    vectors, known = stored.vectors(items)
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
