"""A sample of a data folder's records: what they hold as strings, how often each id, how long their lists are."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import tensorflow as tf

from preprocessing.between_days.divergence import Values
from preprocessing.data.features import HORIZONS, ITEM_IDS, PRICE, STAGES, Feature, parsing_spec
from preprocessing.logs.records import ATTRIBUTES

SPLITS = ("train", "eval", "catalog")  # eval has the newest requests, train what is learnt from
CATALOG = "catalog"
_FILES = 16  # of a split
_BATCH = 1_000
_MOST_BUCKETS = 10_000  # told apart
_POSITIVES = ("ordered", "clicked")
_NAMES = {"brand": "brand_name", "shop": "shop_name", "leaf": "leaf_name", "top": "top_name"}

Columns = dict[str, Any]  # a feature's name -> Tensor or RaggedTensor


class Words(NamedTuple):
    """A vocabulary."""

    labels: pa.Array  # [places], "" for padding, "#1" for the first hash bucket, and so on
    first: int  # place of the first word
    hash_buckets: int  # which may share the places before

    def places(self, ids: np.ndarray) -> np.ndarray:
        """Of ids of any shape: the words' one after the other, however many hash buckets there are."""
        hashed = (ids - 1) % (self.first - 1) + 1 if self.first > 1 else ids
        return np.where(ids > self.hash_buckets, ids - self.hash_buckets - 1 + self.first, np.where(ids > 0, hashed, 0))


class Sample(NamedTuple):
    """Some records of a split."""

    records: int
    users: int  # whose they are
    values: dict[str, Values]  # queries, and what was chosen: "query", "word", "item", "brand", ...
    uses: dict[str, np.ndarray]  # vocabulary -> int64 [places], how often each is in queries or in what was chosen
    lengths: dict[str, np.ndarray]  # list -> int64 [records]
    empty: dict[str, float]  # feature -> share of records that hold nothing of it


def read_words(folder: str, spec: Mapping[str, Any]) -> dict[str, Words]:
    """The vocabularies of a data folder."""
    found = {}
    for name, one in spec["vocabularies"].items():
        buckets = one["hash_buckets"]
        if name == PRICE:  # its file is a table of medians
            words = [f"band {band}".encode() for band in range(1, one["ids"])]
        else:
            with tf.io.gfile.GFile(f"{folder}/vocab/{name}.txt", "rb") as file:
                words = file.read().split(b"\n")[:-1]
        hashed = [f"#{bucket}".encode() for bucket in range(1, 1 + min(buckets, _MOST_BUCKETS))]
        found[name] = Words(pa.array([b"", *hashed, *words], pa.binary()), 1 + len(hashed), buckets)
    return found


def sample(
    folder: str, split: str, spec: Mapping[str, Any], words: Mapping[str, Words], records: int, seed: int
) -> Sample:
    """So many records of a split: the first of some of its files, whose order is a shuffle."""
    wanted = _wanted(spec, split)
    described = [feature for one in spec["catalog" if split == CATALOG else "requests"] if (feature := Feature(**one))]
    features = parsing_spec(feature for feature in described if feature.name in wanted)
    batches = list(_batches(folder, split, features, records, seed))
    return _catalog_sample(batches, words) if split == CATALOG else _request_sample(batches, words, spec)


def files_of(pattern: str, seed: int) -> list[str]:
    """Some of the files, in order."""
    files = sorted(tf.io.gfile.glob(pattern))
    return sorted(np.random.default_rng(seed).permutation(files)[:_FILES].tolist())


def _wanted(spec: Mapping[str, Any], split: str) -> set[str]:
    if split == CATALOG:
        return {"title", "title_word", PRICE, *_NAMES.values()}
    return {"query", "user_id", *_lists(spec), *(f"{stage}_{name}" for stage in _POSITIVES for name in ITEM_IDS)}


def _lists(spec: Mapping[str, Any]) -> list[str]:
    """Of a request: one for each grain, horizon and stage."""
    grains = [f"query_{grain}" for grain in spec["text"]["query_grains"]]
    horizons = [f"{horizon}_item" for horizon in HORIZONS]
    return [*grains, "history_word", *horizons, *(f"{stage}_item_id" for stage in STAGES)]


def _batches(folder: str, split: str, features: Mapping[str, Any], records: int, seed: int) -> Iterator[Columns]:
    chosen = files_of(f"{folder}/{split}-*.tfrecord.gz", seed)
    if not chosen:
        return
    each = -(-records // len(chosen))
    found = tf.data.Dataset.from_tensor_slices(chosen).interleave(
        lambda file: tf.data.TFRecordDataset(file, "GZIP").take(each), cycle_length=1
    )
    yield from found.take(records).batch(_BATCH).map(lambda batch: tf.io.parse_example(batch, features))


def _request_sample(batches: Iterable[Columns], words: Mapping[str, Words], spec: Mapping[str, Any]) -> Sample:
    columns = _together(batches)
    users, owners = np.unique(columns.pop("user_id"), return_inverse=True)
    values = {"query": Values(pa.array(columns["query"], pa.binary()), owners)}
    values["item"] = _of_lists(columns, [f"{stage}_item_id" for stage in _POSITIVES], owners)
    ids = {grain: [f"query_{grain}"] for grain in spec["text"]["query_grains"]}
    ids |= {name: [f"{stage}_{name}" for stage in _POSITIVES] for name in ITEM_IDS}
    uses = {}
    for name, lists in ids.items():
        found = _of_lists(columns, lists, owners)
        places = words[name].places(found.strings.to_numpy(zero_copy_only=False))
        uses[name] = np.bincount(places, minlength=len(words[name].labels))
        if name in (*ATTRIBUTES[1:], PRICE, "word"):
            values[name] = Values(words[name].labels.take(pa.array(places)), found.owners)
    of_each = {"query", *_lists(spec)}
    return Sample(len(owners), len(users), values, uses, _lengths(columns, of_each), _empty(columns, of_each))


def _catalog_sample(batches: Iterable[Columns], words: Mapping[str, Words]) -> Sample:
    columns = _together(batches)
    owners = np.arange(len(columns["title"]))
    values = {name: Values(pa.array(columns[column], pa.binary()), owners) for name, column in _NAMES.items()}
    values[PRICE] = Values(words[PRICE].labels.take(pa.array(words[PRICE].places(columns.pop(PRICE)))), owners)
    return Sample(len(owners), len(owners), values, {}, _lengths(columns, columns), _empty(columns, columns))


class _Lists(NamedTuple):
    """A list a record, end to end."""

    content: np.ndarray
    lengths: np.ndarray


def _together(batches: Iterable[Columns]) -> dict[str, Any]:
    """All batches' columns as arrays, and lists as `_Lists`."""
    parts: dict[str, list[Any]] = {}
    for batch in batches:
        for name, column in batch.items():
            parts.setdefault(name, []).append(column)
    return {name: _joined(columns) for name, columns in parts.items()}


def _joined(columns: list[Any]) -> Any:
    if not isinstance(columns[0], tf.RaggedTensor):
        return np.concatenate([one.numpy() for one in columns])
    content = np.concatenate([one.flat_values.numpy() for one in columns])
    return _Lists(content, np.concatenate([one.row_lengths().numpy() for one in columns]))


def _of_lists(columns: Mapping[str, Any], names: Iterable[str], owners: np.ndarray) -> Values:
    lists = [columns[name] for name in names]
    content = np.concatenate([one.content for one in lists])
    whose = np.concatenate([np.repeat(owners, one.lengths) for one in lists])
    return Values(pa.array(content, pa.binary() if content.dtype == object else pa.int64()), whose)


def _lengths(columns: Mapping[str, Any], names: Collection[str]) -> dict[str, np.ndarray]:
    return {name: one.lengths for name, one in columns.items() if name in names and isinstance(one, _Lists)}


def _empty(columns: Mapping[str, Any], names: Collection[str]) -> dict[str, float]:
    nothing = {name: one.lengths == 0 if isinstance(one, _Lists) else one == b"" for name, one in columns.items()}
    return {name: float(np.mean(one)) for name, one in nothing.items() if name in names}
