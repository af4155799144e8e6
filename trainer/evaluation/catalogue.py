"""The live items as evaluation knows them: names for people, rows for everything else."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from trainer.data.dataset import catalog

_BATCH = 4096


class Catalogue:
    """Live items in the order of the files; a row is an item's place in that order."""

    def __init__(self, data_dir: str) -> None:
        columns: dict[str, list] = {name: [] for name in ("item_id", "title", "brand_name", "description", "count")}
        for batch in catalog(data_dir, _BATCH, columns):
            for name, values in columns.items():
                values.append(batch[name].numpy())
        together = {name: np.concatenate(values) for name, values in columns.items()}
        self.item_ids: np.ndarray = together["item_id"]
        self.titles: np.ndarray = together["title"]
        self.brands: np.ndarray = together["brand_name"]
        self.descriptions: np.ndarray = together["description"]
        self.counts: np.ndarray = together["count"]  # times seen as a positive in training
        self._rows = {item_id: row for row, item_id in enumerate(self.item_ids.tolist())}

    def __len__(self) -> int:
        return len(self.item_ids)

    def rows(self, item_ids: Iterable[bytes]) -> np.ndarray:
        """int64, one an id; -1 for an item that is not live."""
        return np.array([self._rows.get(item_id, -1) for item_id in item_ids], np.int64)
