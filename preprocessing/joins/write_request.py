"""Requests as examples: each with its query, its user's past and its own items, all as ids."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow

from preprocessing.config import TextConfig
from preprocessing.data import example_proto
from preprocessing.data.example_columns import Columns, contents_of, joined, varints
from preprocessing.data.example_proto import FeatureWriter
from preprocessing.data.features import ACTION_IDS, HORIZONS, LENGTH, SEQUENCES, SIGNALS, STAGES, EncodedItem
from preprocessing.joins.attribution import Request
from preprocessing.joins.history import Past, age_of

if TYPE_CHECKING:
    from preprocessing.joins.encode_strings import Encoder

Stages = Mapping[str, Sequence[str]]  # item ids by stage
_HEAD = ("request_id", "user_id", "query")
_ASKED = "asked"
_QUERIES, _PAST_QUERY = "history", ("word", f"word{LENGTH}")  # the previous ones
_FULL = 1_024  # requests put together at once: enough to hide the calls, few enough to stay small


class RequestFeatures:
    """The writers of a request's features."""

    def __init__(self, text: TextConfig, vector_width: int = 0) -> None:
        self.grains = text.query_grains
        self.head = {name: FeatureWriter(name, "string") for name in _HEAD}
        self.ts = FeatureWriter("ts", "int64")
        self.query = [FeatureWriter(f"query_{grain}", "int64") for grain in text.query_grains]
        self.past_queries = _writers(_QUERIES, [(name, "int64") for name in _PAST_QUERY])
        self.horizons = {name: _writers(name, EncodedItem.attribute_columns()) for name in HORIZONS}
        self.signals = {name: _writers(name, [(one, "int64") for one in SIGNALS]) for name in SEQUENCES}
        self.item = EncodedItem.columns(text.title_grains, vector_width)
        self.stages = {name: _writers(name, self.item) for name in STAGES}
        self.positions = {name: FeatureWriter(f"{name}_position", "int64") for name in STAGES}


def _writers(prefix: str, columns: Iterable[tuple[str, str]]) -> dict[str, FeatureWriter]:
    return {name: FeatureWriter(f"{prefix}_{name}", dtype) for name, dtype in columns}


class Table(NamedTuple):
    """What recurs in requests, encoded once: the place of each, and the contents of its features by column."""

    places: Mapping[str, int]
    columns: Mapping[str, pyarrow.BinaryArray]

    @classmethod
    def of_items(cls, items: Mapping[str, EncodedItem], features: RequestFeatures) -> Table:
        """The items that users know."""
        contents = [item.contents for item in items.values()]
        columns = {name: contents_of([one[at] for one in contents]) for at, (name, _) in enumerate(features.item)}
        return cls({item_id: place for place, item_id in enumerate(items)}, columns)

    @classmethod
    def of_queries(cls, queries: Iterable[str], encoder: Encoder, features: RequestFeatures) -> Table:
        """Each query once: all its features as one that is asked, its words as one that was asked before."""
        places = {query: place for place, query in enumerate(dict.fromkeys(queries))}
        at = features.grains.index("word")
        asked, words, counts = [], [], []
        for ids in encoder.texts(list(places), features.grains):
            contents = [example_proto.ints(grain) for grain in ids]
            asked.append(b"".join([write(content) for write, content in zip(features.query, contents, strict=True)]))
            words.append(contents[at])
            counts.append(len(ids[at]))
        columns = (contents_of(asked), contents_of(words), varints(counts))
        return cls(places, dict(zip((_ASKED, *_PAST_QUERY), columns, strict=True)))


class Lists:
    """A list of numbers of every request."""

    def __init__(self) -> None:
        self.values: list[int] = []
        self._ends = [0]

    def add(self, values: Iterable[int]) -> None:
        """That of the next request."""
        self.values.extend(values)
        self._ends.append(len(self.values))

    @property
    def splits(self) -> np.ndarray:
        """int `[requests + 1]`, where each begins."""
        return np.array(self._ends)


class RequestWriter:
    """Writes the requests of one partition's users, from the items and queries that these know."""

    def __init__(self, features: RequestFeatures, items: Table, queries: Table) -> None:
        self._features = features
        self._items = items
        self._queries = queries
        self._clear()

    def _clear(self) -> None:
        self._heads: dict[str, list[bytes]] = {name: [] for name in _HEAD}
        self._times: list[int] = []
        self._asked: list[int] = []
        self._lists: dict[str, Lists] = collections.defaultdict(Lists)

    @property
    def full(self) -> bool:
        """Whether it is time to drain."""
        return len(self._times) >= _FULL

    def add(self, user_id: str, request: Request, past: Past, stages: Stages) -> None:
        """Takes a request."""
        lists, items, queries = self._lists, self._items.places, self._queries.places
        for name, value in zip(_HEAD, (request.request_id, user_id, request.query), strict=True):
            self._heads[name].append(example_proto.strings([value.encode()]))
        self._times.append(request.ts)
        self._asked.append(queries[request.query])
        lists[_QUERIES].add([queries[query] for query in past.queries])
        for name, actions in past.horizons.items():
            lists[name].add([items[one.item_id] for one in actions])
        for name in SEQUENCES:
            actions = past.horizons[name]
            lists[f"{name}_action"].add([ACTION_IDS[one.action] for one in actions])
            lists[f"{name}_age"].add([age_of(one, request.ts) for one in actions])
        position = {item_id: number for number, item_id in enumerate(request.results, 1)}
        for stage, item_ids in stages.items():
            lists[stage].add([items[item_id] for item_id in item_ids])
            lists[f"{stage}_position"].add([position.get(item_id, 0) for item_id in item_ids])

    def drain(self) -> list[bytes]:
        """The examples of all that is held, in order, which it is then no longer."""
        if not self._times:
            return []
        write, columns = self._features, Columns()
        for name, contents in self._heads.items():
            columns.add(write.head[name], contents_of(contents))
        columns.add(write.ts, varints(self._times))
        columns.add_entries(self._queries.columns[_ASKED].take(pyarrow.array(self._asked)))
        for name in HORIZONS:
            self._add(columns, write.horizons[name], name, self._items)
        for name in SEQUENCES:
            for signal, writer in write.signals[name].items():
                self._add_numbers(columns, writer, f"{name}_{signal}")
        self._add(columns, write.past_queries, _QUERIES, self._queries)
        for name in STAGES:
            self._add(columns, write.stages[name], name, self._items)
            self._add_numbers(columns, write.positions[name], f"{name}_position")
        self._clear()
        return columns.examples()

    def _add(self, columns: Columns, writers: Mapping[str, FeatureWriter], name: str, table: Table) -> None:
        """What the table says of a list's members."""
        members, splits = pyarrow.array(self._lists[name].values, pyarrow.int32()), self._lists[name].splits
        for column, writer in writers.items():
            columns.add(writer, joined(table.columns[column].take(members), splits))

    def _add_numbers(self, columns: Columns, writer: FeatureWriter, name: str) -> None:
        numbers = self._lists[name]
        columns.add(writer, joined(varints(numbers.values), numbers.splits))
