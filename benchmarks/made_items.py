"""Made catalogues for benchmarks: ids alone, or with words, leaves, brands and prices as a market has them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tensorflow as tf

from preprocessing.words.config import FieldsConfig
from preprocessing.words.item_words import ItemWords, word_hashes
from preprocessing.words.word_lists import build_word_lists
from serving.catalogue.postings import build_postings
from serving.catalogue.table import NAMED, Table
from serving.graph.item_filter import ItemFilter
from serving.graph.item_lookup import ItemLookup
from serving.graph.posting_lists import PostingLists
from serving.release.fresh_items import FRESH_FILE, write_fresh_ids

LEAVES, BRANDS, TOPS, SHOPS = 100, 5_000, 10, 20_000  # distinct names
ITEMS_A_WORD = 5  # so many items for each distinct word
LENGTH = 10  # words of a title
_SEED = 23


def ids_alone(count: int) -> Table:
    """Items without words, names and prices."""
    names = {name: np.array([b""], object) for name in NAMED}
    numbers = {name: np.zeros(count, np.int32) for name in NAMED}
    prices, none = np.full(count, np.nan, np.float32), np.zeros(0, np.int64)
    return Table(
        _ids(count), names, numbers, ItemWords(none, none.astype(np.uint8), np.zeros(count + 1, np.int64)), prices
    )


def market(count: int) -> Table:
    """Items whose words and brands are as rare as Zipf says, in leaves of one size."""
    random = np.random.default_rng(_SEED)
    distinct = max(count // ITEMS_A_WORD, 1)
    ranks = 1 / np.arange(1, distinct + 1)
    words = random.choice(distinct, size=count * LENGTH, p=ranks / ranks.sum())
    hashes = word_hashes(tf.constant([f"w{rank}" for rank in range(distinct)])).numpy()
    sizes = {"brand": BRANDS, "shop": SHOPS, "leaf": LEAVES, "top": TOPS}
    names = {name: np.array([f"{name}{rank}".encode() for rank in range(size)], object) for name, size in sizes.items()}
    numbers = {name: random.integers(0, size, count).astype(np.int32) for name, size in sizes.items()}
    shares = 1 / np.arange(1, BRANDS + 1)
    numbers["brand"] = random.choice(BRANDS, size=count, p=shares / shares.sum()).astype(np.int32)
    prices = random.lognormal(3, 1, count).astype(np.float32)
    ends = np.arange(0, count * LENGTH + 1, LENGTH, dtype=np.int64)
    return Table(_ids(count), names, numbers, ItemWords(hashes[words], np.zeros(len(words), np.uint8), ends), prices)


def in_graph(table: Table, aside: Path) -> ItemFilter:
    """A table as an export has it, with its files of ids in a folder."""
    (aside / "items.txt").write_bytes(b"".join(one + b"\n" for one in table.ids.tolist()))
    write_fresh_ids(aside, [])
    items = ItemLookup(table, str(aside / "items.txt"), str(aside / FRESH_FILE), 256, 32)
    return ItemFilter(items, PostingLists(build_postings(table, build_word_lists(table.words, FieldsConfig().boosts))))


def rows_of(ids: np.ndarray) -> np.ndarray:
    """The rows of items, int64, by their ids of any shape."""
    return np.vectorize(lambda one: int(one[1:]), otypes=[np.int64])(ids)


def _ids(count: int) -> np.ndarray:
    return np.array([f"P{number:08d}".encode() for number in range(count)], object)
