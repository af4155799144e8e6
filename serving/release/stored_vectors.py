"""Vectors that `serving.batch --mode embed` made: an export takes those of equal items, and embeds only the others."""

from __future__ import annotations

import numpy as np

from preprocessing.command.console import UserError
from serving.batch.answer_files import CONTENT, read_table, vectors_of
from serving.batch.output_folder import MANIFEST, BatchFolder
from serving.batch.rows import content_hash
from serving.catalogue.data_records import Strings
from serving.inputs import ITEM_INPUTS


class StoredVectors:
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
        columns = zip(*(items[name].numpy().tolist() for name in ITEM_INPUTS), strict=True)
        rows = np.array([self._rows.get(content_hash(values), -1) for values in columns], np.int64)
        known = rows >= 0
        self.taken += int(known.sum())
        return self._vectors[rows], known
