"""Vectors of an earlier run of `serving.batch --mode embed`, found by an item's content."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow

from preprocessing.command.console import UserError
from preprocessing.data.features import VECTOR
from serving.batch.answer_files import CONTENT, read_table, vectors_of
from serving.batch.output_folder import MANIFEST, BatchFolder
from serving.batch.rows import content_hash, price_bytes
from serving.catalogue.data_records import Strings
from serving.inputs import ITEM_INPUTS, ITEM_PRICE


class Stored(NamedTuple):
    """Some items' vectors, by the two halves of their contents' hashes."""

    firsts: np.ndarray  # uint64 [N], rising
    seconds: np.ndarray  # uint64 [N]
    vectors: np.ndarray  # float32 [N, dim]


def stored_files(folder: str, towers: str) -> list[str]:
    """The tables of a folder of vectors, which must be of these towers."""
    batch = BatchFolder(folder)
    manifest = batch.manifest()
    if manifest is None or manifest["mode"] != "embed":
        raise UserError(f"--vectors {folder}: no {MANIFEST} of --mode embed in it; write it with serving.batch")
    if manifest["identity"]["towers_hash"] != towers:
        raise UserError(f"--vectors {folder} is of other towers than --job-dir; run serving.batch on it again")
    return batch.files()


def stored_in(path: str) -> Stored:
    """What one table holds."""
    table = read_table(path)
    contents = b"".join(table[CONTENT].cast(pyarrow.binary()).to_pylist())
    firsts, seconds = np.frombuffer(contents, "<u8").reshape(-1, 2).T
    order = np.argsort(firsts, kind="stable")
    return Stored(firsts[order], seconds[order], vectors_of(table)[order])


class StoredVectors:
    """The vectors of all parts, and how many of them were taken so far."""

    def __init__(self, parts: Sequence[Stored]) -> None:
        self._parts = [one for one in parts if len(one.firsts)]
        self.taken = 0

    @property
    def is_empty(self) -> bool:
        """Whether there is none to take."""
        return not self._parts

    def fill(self, items: Strings, vectors: np.ndarray) -> np.ndarray:
        """Fills vectors float32 `[B, dim]` of items in where they are known; bool `[B]`, of which they are."""
        firsts, seconds = np.frombuffer(b"".join(_contents(items)), "<u8").reshape(-1, 2).T
        known = np.zeros(len(firsts), bool)
        for part in self._parts:
            places = np.minimum(np.searchsorted(part.firsts, firsts), len(part.firsts) - 1)
            here = (part.firsts[places] == firsts) & (part.seconds[places] == seconds)
            vectors[here] = part.vectors[places[here]]
            known |= here
        self.taken += int(known.sum())
        return known


def _contents(items: Strings) -> list[bytes]:
    columns = [items[name].numpy().tolist() for name in ITEM_INPUTS]
    if ITEM_PRICE in items:
        columns.append([price_bytes(one) for one in items[ITEM_PRICE].numpy().tolist()])
    if VECTOR in items:
        columns.append([one.tobytes() for one in items[VECTOR].numpy()])
    return [content_hash(values) for values in zip(*columns, strict=True)]
