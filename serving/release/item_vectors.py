"""The catalogue's vectors: those of an earlier run as they are, the others through the item tower, all in one file."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError, progress
from serving.catalogue.data_records import Strings, catalog_batches, catalog_files
from serving.catalogue.table import Table, TableBuilder
from serving.graph.item_encoder import ItemEncoder
from serving.inputs import item_inputs
from serving.release.stored_vectors import StoredVectors

_BLOCK = 4_096


def embed_catalogue(
    data_dir: str,
    spec: dict[str, Any],
    encoder: ItemEncoder,
    path: str,
    stored: StoredVectors,
    descriptions: bool = False,
) -> tuple[Table, np.ndarray]:
    """Embeds every live item of `data_dir`.

    Args:
      data_dir: the folder of `preprocessing.pipeline`.
      spec: its spec.json.
      encoder: the item tower's.
      path: a file to write the vectors to, `N * dim` float32.
      stored: vectors of these towers; an item that is among them as it is does not pass through the tower.
      descriptions: whether the table has the words of items' descriptions, too.

    Returns:
      The table of N items, and their vectors `[N, dim]`, mapped from `path`.
    """
    builder, files = TableBuilder(), catalog_files(data_dir)
    with open(path, "wb") as file, progress("items embedded", total=spec["items"]) as bar:
        for batch, vectors in embedded_batches(files, _BLOCK, encoder, stored, descriptions):
            file.write(vectors.tobytes())
            builder.add(batch)
            bar.advance(len(vectors))
    table = builder.table(f"--data {data_dir}: catalog-*.tfrecord.gz")
    if not len(table):
        raise UserError(f"--data {data_dir}: its catalogue is empty; there is nothing to index")
    return table, np.memmap(path, np.float32, "c", shape=(len(table), encoder.dim))


def embedded_batches(
    files: Sequence[str], size: int, encoder: ItemEncoder, stored: StoredVectors, descriptions: bool
) -> Iterator[tuple[Strings, np.ndarray]]:
    """The items of a catalogue's files, `size` at a time, and their vectors float32 `[size, dim]`."""
    wanted = item_inputs(encoder.vocabularies.encoding)
    embed = tf.function(encoder, reduce_retracing=True, autograph=False)
    for batch in catalog_batches(files, size, encoder.vector_width, descriptions):
        yield batch, _embedded(embed, {name: batch[name] for name in wanted}, encoder.dim, stored)


def _embedded(embed: Callable[[Strings], tf.Tensor], items: Strings, dim: int, stored: StoredVectors) -> np.ndarray:
    """float32 `[B, dim]` of items, the stored ones' as they are."""
    if stored.is_empty:
        return checked_vectors(embed(items), items)
    vectors = np.empty((len(items["item_id"]), dim), np.float32)
    known = stored.fill(items, vectors)
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
