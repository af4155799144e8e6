"""The data folder as serving reads it: catalogue records and held-out requests, as raw strings."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.features import HORIZONS, PRICE_VALUE, VECTOR, Feature, parsing_spec
from preprocessing.data.spec import read_spec
from serving.inputs import CATALOG_COLUMNS, ITEM_PRICE, SIGNAL_LISTS, VECTOR_LISTS, beside

DESCRIPTION = "description"
_COMPRESSION = "GZIP"
Strings = dict[str, tf.Tensor]
Names = Callable[[int], bytes]  # from an id to its string


def catalog_files(data_dir: str) -> list[str]:
    """Of the catalogue of a data folder, in order."""
    return _files(data_dir, "catalog")


def catalog_batches(
    files: Sequence[str], batch: int, vector_width: int = 0, descriptions: bool = False
) -> tf.data.Dataset:
    """The live items of a catalogue's files, in their order.

    Strings `[batch]` by ITEM_INPUTS, and `price` float32, NaN for none.

    Where descriptions are asked for, also `description`; where `vector_width` is not 0, also `vector` float32
    `[batch, vector_width]`, zeros for none.
    """
    named = CATALOG_COLUMNS | ({DESCRIPTION: DESCRIPTION} if descriptions else {})
    texts = [Feature(column, "string", 0) for column in named.values()]
    vectors = [Feature(VECTOR, "float32", 0, vector_width)] if vector_width else []
    columns = parsing_spec([*texts, Feature(PRICE_VALUE, "float32", 0), *vectors])
    named = named | {ITEM_PRICE: PRICE_VALUE} | {one.name: one.name for one in vectors}

    def parse(records: tf.Tensor) -> Strings:
        parsed = tf.io.parse_example(records, columns)
        return {name: parsed[column] for name, column in named.items()}

    records = tf.data.TFRecordDataset(list(files), _COMPRESSION)
    return records.batch(batch).map(parse, num_parallel_calls=2, deterministic=True).prefetch(2)


def check_vectors(data_dir: str, spec: Mapping[str, Any], wanted: int) -> None:
    """The items of a data folder must have the vectors that an item tower reads."""
    has = spec["vector_width"]
    if wanted and has != wanted:
        given = f"have vectors of {has} numbers" if has else "have no vectors"
        raise UserError(
            f"--data {data_dir}: its items {given}, but the towers read {wanted}; "
            "preprocessing.input.catalog.vector_width says how many there are"
        )


class Requests(NamedTuple):
    """Held-out requests: what a client would have sent, and what the user then clicked or ordered."""

    # `query` [R]; [R, N] `history_queries` and `<horizon>_items` padded with b"", SIGNAL_LISTS with 0
    inputs: dict[str, np.ndarray]
    answers: list[list[bytes]]  # item ids
    stamps: np.ndarray  # int64 [R], epoch milliseconds
    users: np.ndarray  # object [R], b"" for nobody known

    def __len__(self) -> int:
        return len(self.answers)

    def slice(self, begin: int, end: int | None = None) -> Requests:
        """The requests `[begin, end)`."""
        inputs = {name: values[begin:end] for name, values in self.inputs.items()}
        return Requests(inputs, self.answers[begin:end], self.stamps[begin:end], self.users[begin:end])

    def take(self, rows: Sequence[int]) -> Requests:
        """Some requests, by row."""
        places = np.asarray(rows, np.int64)
        inputs = {name: values[places] for name, values in self.inputs.items()}
        return Requests(inputs, [self.answers[row] for row in places], self.stamps[places], self.users[places])

    def without_past(self) -> Requests:
        """The same queries of nobody in particular."""
        blank = {name: np.full_like(one, b"" if one.dtype == object else 0) for name, one in self.inputs.items()}
        return Requests(blank | {"query": self.inputs["query"]}, self.answers, self.stamps, self.users)

    def joined(self, others: Requests) -> Requests:
        """These, then the others."""
        inputs = {name: np.concatenate([values, others.inputs[name]]) for name, values in self.inputs.items()}
        stamps, users = (np.concatenate(both) for both in ((self.stamps, others.stamps), (self.users, others.users)))
        return Requests(inputs, self.answers + others.answers, stamps, users)

    def batches(self, size: int) -> Iterator[Requests]:
        """In order, `size` at a time."""
        for begin in range(0, len(self), size):
            yield self.slice(begin, begin + size)


def held_out_requests(data_dir: str, split: str, count: int, widths: dict[str, int]) -> Requests:
    """The first `count` requests of "validation" or "eval"; ids are turned back into strings, buckets' into ""."""
    spec = read_spec(data_dir)
    described = [Feature(**one) for one in spec["requests"]]
    wanted = {
        "query",
        "ts",
        "user_id",
        "history_word",
        "ordered_item_id",
        "clicked_item_id",
        *(f"{h}_item" for h in HORIZONS),
    }
    wanted |= SIGNAL_LISTS.keys()
    parsing = parsing_spec(one for one in described if one.name in wanted)
    records = tf.data.TFRecordDataset(_files(data_dir, split), _COMPRESSION).take(count)
    serialised = list(records.as_numpy_iterator())
    parsed = tf.io.parse_example(tf.constant(serialised, tf.string), parsing)
    words, items = (_names(data_dir, spec, name) for name in ("word", "item"))
    if spec["vocabularies"]["item"]["hash_buckets"] > spec["items"]:  # a bucket of its own for nearly each
        items = _with_unknown(items, data_dir, spec, {n for h in HORIZONS for n in parsed[f"{h}_item"].values.numpy()})
    lists = {f"{h}_items": [list(map(items, row)) for row in parsed[f"{h}_item"].to_list()] for h in HORIZONS}
    lists["history_queries"] = [
        [b" ".join(filter(None, map(words, query))) for query in row] for row in parsed["history_word"].to_list()
    ]
    inputs = {name: _padded(lists[name], widths[name]) for name in VECTOR_LISTS}
    for column, name in SIGNAL_LISTS.items():
        of_items = beside(name)
        inputs[name] = _padded_beside(lists[of_items], parsed[column].to_list(), widths[of_items])
    inputs["query"] = parsed["query"].numpy().astype(object).reshape(-1)
    answers = tf.concat([parsed["ordered_item_id"], parsed["clicked_item_id"]], axis=1).to_list()
    users = parsed["user_id"].numpy().astype(object).reshape(-1)
    return Requests(inputs, answers, parsed["ts"].numpy().reshape(-1), users)


def training_queries(data_dir: str, count: int) -> set[bytes]:
    """What was asked in the first `count` requests of training."""
    spec = parsing_spec([Feature("query", "string", 0)])
    records = tf.data.TFRecordDataset(_files(data_dir, "train"), _COMPRESSION).take(count)
    found: set[bytes] = set()
    for batch in records.batch(4096).map(lambda one: tf.io.parse_example(one, spec)).as_numpy_iterator():
        found.update(batch["query"].tolist())
    return found


def _files(data_dir: str, split: str) -> list[str]:
    files = sorted(tf.io.gfile.glob(f"{data_dir}/{split}-*.tfrecord.gz"))
    if not files:
        raise UserError(f"--data {data_dir}: no {split}-*.tfrecord.gz in it")
    return files


def _names(data_dir: str, spec: dict[str, Any], vocabulary: str) -> Names:
    """From ids to strings; padding and hash buckets have none."""
    with tf.io.gfile.GFile(f"{data_dir}/vocab/{vocabulary}.txt", "rb") as file:
        known = file.read().split(b"\n")[:-1]
    first = 1 + spec["vocabularies"][vocabulary]["hash_buckets"]
    return lambda number: known[number - first] if number >= first else b""


def _with_unknown(names: Names, data_dir: str, spec: dict[str, Any], wanted: set[int]) -> Names:
    """The same, and of hash buckets those items' that the catalogue has in them."""
    parsing = parsing_spec(Feature(**one) for one in spec["catalog"] if one["name"] in ("item", "item_id"))
    records = tf.data.TFRecordDataset(_files(data_dir, "catalog"), _COMPRESSION).batch(4096)
    numbers = np.array(sorted(wanted))
    found: dict[int, bytes] = {}
    for batch in records.map(lambda one: tf.io.parse_example(one, parsing)).as_numpy_iterator():
        rows = np.flatnonzero(np.isin(batch["item"], numbers))
        found.update(zip(batch["item"][rows].tolist(), batch["item_id"][rows].tolist(), strict=True))
    return lambda number: found.get(number, b"") or names(number)


def _padded(rows: list[list[bytes]], width: int) -> np.ndarray:
    """Object array `[R, width]` of the known strings, padded with b"" and cut."""
    padded = np.full((len(rows), width), b"", object)
    for row, values in enumerate(rows):
        known = [value for value in values if value][:width]
        padded[row, : len(known)] = known
    return padded


def _padded_beside(rows: list[list[bytes]], signals: list[list[int]], width: int) -> np.ndarray:
    """int32 `[R, width]` of what runs beside the strings, those of the unknown left out as there, padded with 0."""
    padded = np.zeros((len(rows), width), np.int32)
    for row, (values, beside_them) in enumerate(zip(rows, signals, strict=True)):
        known = [signal for value, signal in zip(values, beside_them, strict=True) if value][:width]
        padded[row, : len(known)] = known
    return padded
