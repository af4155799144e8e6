"""A large catalogue from a small one: each item again and again, with words, brand and shop of its leaf's others."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preprocessing.data.data_folder import SPEC, SUCCESS
from preprocessing.data.example_columns import Columns, contents_of
from preprocessing.data.example_proto import FeatureWriter, floats, strings
from preprocessing.data.features import PRICE_VALUE
from preprocessing.data.record_files import framed, write_file
from serving.inputs import CATALOG_COLUMNS, ITEM_PRICE

_A_FILE = 500_000  # items
_BLOCK = 20_000
_COLUMNS = CATALOG_COLUMNS | {"description": "description"}


class Items(NamedTuple):
    """N items of a data folder."""

    columns: dict[str, np.ndarray]  # object [N], by the inputs of an item tower
    prices: np.ndarray  # float32 [N], NaN for none
    leaves: np.ndarray  # int [N]
    order: np.ndarray  # int [N], all items, those of a leaf together
    begins: np.ndarray  # int [leaves + 1], where those of each leaf begin

    def others(self, rows: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """For each of some items any one of its leaf."""
        first, last = self.begins[self.leaves[rows]], self.begins[self.leaves[rows] + 1]
        return self.order[first + (random.random(len(rows)) * (last - first)).astype(int)]


def write_clones(data: Path, to: Path, items: int, seed: int = 17) -> None:
    """A data folder like `data`, whose catalogue has so many items; the first are those that it was made of."""
    shutil.rmtree(to, ignore_errors=True)
    to.mkdir(parents=True)
    for path in data.iterdir():
        if path.is_file() and not path.name.startswith(("catalog-", SPEC, SUCCESS)):
            os.link(path, to / path.name)
    shutil.copytree(data / "vocab", to / "vocab", copy_function=os.link)
    files = -(-items // _A_FILE)
    tasks = [(data, to / f"catalog-{number:05d}-of-{files:05d}.tfrecord.gz") for number in range(files)]
    ranges = [range(begin, min(begin + _A_FILE, items)) for begin in range(0, items, _A_FILE)]
    spawned = multiprocessing.get_context("spawn")  # TensorFlow's threads do not outlive a fork
    with ProcessPoolExecutor(os.cpu_count(), spawned) as pool:
        list(pool.map(_write_file, tasks, ranges, [[seed, number] for number in range(files)]))
    spec = json.loads((data / SPEC).read_text())
    (to / SPEC).write_text(json.dumps(spec | {"items": items}))
    (to / SUCCESS).write_bytes(b"")


def _write_file(files: tuple[Path, Path], numbers: range, seed: list[int]) -> None:
    """From a data folder a file of its items and clones by their numbers."""
    data, path = files
    write_file(str(path), _records(_read(data), numbers.start, numbers.stop, np.random.default_rng(seed)))


def _read(data: Path) -> Items:
    from serving.catalogue.data_records import catalog_batches, catalog_files  # TensorFlow comes with it

    batches = list(catalog_batches(catalog_files(str(data)), 4_096, descriptions=True))
    columns = {name: np.concatenate([one[name].numpy() for one in batches]) for name in _COLUMNS}
    prices = np.concatenate([one[ITEM_PRICE].numpy() for one in batches])
    _, leaves = np.unique(columns["category_leaf"], return_inverse=True)
    order = np.argsort(leaves, kind="stable")
    begins = np.searchsorted(leaves[order], np.arange(leaves.max() + 2))
    return Items(columns, prices, leaves, order, begins)


def _records(base: Items, first: int, last: int, random: np.random.Generator) -> Iterator[bytes]:
    for begin in range(first, last, _BLOCK):
        columns = Columns()
        for name, values in _block(base, np.arange(begin, min(begin + _BLOCK, last)), random).items():
            columns.add(FeatureWriter(name, "float32" if name == PRICE_VALUE else "string"), contents_of(values))
        yield b"".join(map(framed, columns.examples()))


def _block(base: Items, numbers: np.ndarray, random: np.random.Generator) -> dict[str, list[bytes]]:
    """The contents of the features of some items, by their numbers `[n]`."""
    size = len(base.prices)
    rows, copies = numbers % size, numbers // size
    others = np.where(copies > 0, base.others(rows, random), rows)
    values = {name: base.columns[name][others if name in ("brand", "shop") else rows].tolist() for name in _COLUMNS}
    values["item_id"] = [b"%s.%d" % one if one[1] else one[0] for one in zip(values["item_id"], copies, strict=True)]
    pairs = zip(values["title"], base.columns["title"][others].tolist(), strict=True)
    values["title"] = [_mixed(*pair) if pair[0] != pair[1] else pair[0] for pair in pairs]
    contents = {_COLUMNS[name]: [strings([one]) for one in all_of] for name, all_of in values.items()}
    prices = base.prices[rows] * np.where(copies > 0, np.exp(random.normal(0, 0.1, len(rows))), 1)
    return contents | {PRICE_VALUE: [b"" if np.isnan(one) else floats([one]) for one in prices.tolist()]}


def _mixed(title: bytes, other: bytes) -> bytes:
    """The first half of a title's words, the second of another's."""
    own, words = title.split(), other.split()
    return b" ".join(own[: -(-len(own) // 2)] + words[len(words) // 2 :])
