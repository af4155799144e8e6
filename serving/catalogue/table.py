"""The catalogue on its way into the index: ids, attributes and words in arrays, vectors in a file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from preprocessing.command.console import UserError
from preprocessing.words.item_words import ItemWords, WordReader
from serving.catalogue.data_records import Strings
from serving.inputs import ITEM_PRICE

NAMED = {"brand": "brand", "shop": "shop", "leaf": "category_leaf", "top": "category_top"}


class Table(NamedTuple):
    """What is known of N items besides their vectors."""

    ids: np.ndarray  # object [N], bytes
    names: dict[str, np.ndarray]  # brand, shop, leaf, top -> the distinct names, object [V]
    numbers: dict[str, np.ndarray]  # ... -> the place of each item's name in it, int32 [N]
    words: ItemWords
    prices: np.ndarray  # float32 [N], NaN for none

    def __len__(self) -> int:
        return len(self.ids)

    def part(self, rows: np.ndarray) -> Table:
        """The table of some items, int64 `[n]` in rising order."""
        numbers = {name: one[rows] for name, one in self.numbers.items()}
        return Table(self.ids[rows], self.names, numbers, self.words.part(rows), self.prices[rows])

    @classmethod
    def joined(cls, parts: Sequence[Table]) -> Table:
        """One part behind the other, one at least."""
        names, numbers = {}, {}
        for name in NAMED:
            distinct, places = np.unique(np.concatenate([one.names[name] for one in parts]), return_inverse=True)
            firsts = np.cumsum([0, *(len(one.names[name]) for one in parts)])
            renumbered = [places[first + one.numbers[name]] for first, one in zip(firsts, parts, strict=False)]
            names[name], numbers[name] = distinct, np.concatenate(renumbered).astype(np.int32)
        words = ItemWords.joined([one.words for one in parts])
        ids, prices = (np.concatenate([getattr(one, name) for one in parts]) for name in ("ids", "prices"))
        return cls(ids, names, numbers, words, prices)


class TableBuilder:
    """Collects a catalogue batch by batch."""

    def __init__(self) -> None:
        self._ids: list[np.ndarray] = []
        self._known: dict[str, dict[bytes, int]] = {name: {} for name in NAMED}
        self._numbers: dict[str, list[np.ndarray]] = {name: [] for name in NAMED}
        self._words: list[ItemWords] = []
        self._prices: list[np.ndarray] = []
        self._read = WordReader()

    def add(self, items: Strings) -> None:
        """Items `[B]` as `catalog_batches` has them."""
        self._ids.append(items["item_id"].numpy())
        for name, column in NAMED.items():
            known = self._known[name]
            numbers = [known.setdefault(value, len(known)) for value in items[column].numpy().tolist()]
            self._numbers[name].append(np.array(numbers, np.int32))
        self._words.append(self._read(items))
        self._prices.append(items[ITEM_PRICE].numpy())

    def table(self, source: str) -> Table:
        """The whole table; `source` is named where an id is there twice."""
        ids = _joined(self._ids, object)
        check_unique(ids, source)
        names = {name: np.array(list(known), object) for name, known in self._known.items()}
        numbers = {name: _joined(parts, np.int32) for name, parts in self._numbers.items()}
        return Table(ids, names, numbers, ItemWords.joined(self._words), _joined(self._prices, np.float32))


def _joined(parts: Iterable[np.ndarray], dtype: type) -> np.ndarray:
    parts = list(parts)
    return np.concatenate(parts) if parts else np.zeros(0, dtype)


def check_unique(ids: np.ndarray, source: str) -> None:
    """Each of some ids, object `[N]`, must be there once; `source` says where they are from."""
    seen: set[bytes] = set()
    for one in ids.tolist():
        if one in seen:
            raise UserError(f"{source}: item_id {one.decode(errors='replace')!r} is there twice; an id names one item")
        seen.add(one)
