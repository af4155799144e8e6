"""A request as an example: its query, its user's past and its own items, all as ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from preprocessing.config import TextConfig
from preprocessing.data import example_proto
from preprocessing.data.example_proto import FeatureWriter
from preprocessing.data.features import (
    ACTION_IDS,
    HORIZONS,
    LENGTH,
    SEQUENCES,
    SIGNALS,
    STAGES,
    ColumnsWriter,
    EncodedItem,
)
from preprocessing.joins.attribution import AttributedAction, Request
from preprocessing.joins.history import Past, age_of

if TYPE_CHECKING:
    from preprocessing.joins.encode_strings import Encoder

Stages = Mapping[str, Sequence[str]]  # item ids by stage


class EncodedQuery(NamedTuple):
    """A query as the contents of features: as one that is asked, and as one that was asked before."""

    features: bytes
    words: bytes
    word_count: bytes


class RequestFeatures:
    """The writers of a request's features."""

    def __init__(self, text: TextConfig, vector_width: int = 0) -> None:
        self.grains = text.query_grains
        self.head = [FeatureWriter(name, "string") for name in ("request_id", "user_id", "query")]
        self.ts = FeatureWriter("ts", "int64")
        self.query = [FeatureWriter(f"query_{grain}", "int64") for grain in text.query_grains]
        self.past_queries = ColumnsWriter("history", [("word", "int64"), (f"word{LENGTH}", "int64")])
        self.horizons = {name: ColumnsWriter(name, EncodedItem.attribute_columns()) for name in HORIZONS}
        self.signals = {name: ColumnsWriter(name, [(one, "int64") for one in SIGNALS]) for name in SEQUENCES}
        self.stages = {
            name: ColumnsWriter(name, EncodedItem.columns(text.title_grains, vector_width)) for name in STAGES
        }
        self.positions = {name: FeatureWriter(f"{name}_position", "int64") for name in STAGES}

    def encode_queries(self, queries: Iterable[str], encoder: Encoder) -> dict[str, EncodedQuery]:
        """Each query once, in batches."""
        distinct = list(dict.fromkeys(queries))
        word = self.grains.index("word")
        encoded = {}
        for query, ids in zip(distinct, encoder.texts(distinct, self.grains), strict=True):
            contents = [example_proto.ints(grain) for grain in ids]
            features = b"".join([write(content) for write, content in zip(self.query, contents, strict=True)])
            encoded[query] = EncodedQuery(features, contents[word], example_proto.varint(len(ids[word])))
        return encoded


class RequestWriter:
    """Writes the requests of one partition's users, from the items and queries that these know."""

    def __init__(
        self, features: RequestFeatures, items: Mapping[str, EncodedItem], queries: Mapping[str, EncodedQuery]
    ) -> None:
        self._features = features
        self._items = items
        self._queries = queries
        self._settled: tuple[tuple[str, int], bytes] = (("", -1), b"")

    def __call__(self, user_id: str, request: Request, past: Past, stages: Stages) -> bytes:
        """The example."""
        write = self._features
        head = zip(write.head, (request.request_id, user_id, request.query), strict=True)
        entries = [feature(example_proto.strings([value.encode()])) for feature, value in head]
        entries += [write.ts(example_proto.varint(request.ts)), self._queries[request.query].features]
        entries += [self._horizon("realtime", past), self._until_today(user_id, past)]
        entries += [write.signals[name](_signals(request, past.horizons[name])) for name in SEQUENCES]
        earlier = [self._queries[query] for query in past.queries]
        entries.append(write.past_queries([(query.words, query.word_count) for query in earlier]))
        position = {item_id: number for number, item_id in enumerate(request.results, 1)}
        for stage, item_ids in stages.items():
            entries.append(write.stages[stage]([self._items[item_id].contents for item_id in item_ids]))
            entries.append(write.positions[stage](example_proto.ints(position.get(one, 0) for one in item_ids)))
        return example_proto.example(entries)

    def _until_today(self, user_id: str, past: Past) -> bytes:
        """The horizons that end at midnight: the same for all of a user's requests of a day, so written once."""
        key = (user_id, past.day)
        if self._settled[0] != key:
            features = [self._horizon(name, past) for name in HORIZONS if name != "realtime"]
            self._settled = (key, b"".join(features))
        return self._settled[1]

    def _horizon(self, name: str, past: Past) -> bytes:
        return self._features.horizons[name]([self._items[one.item_id].attributes for one in past.horizons[name]])


def _signals(request: Request, actions: Sequence[AttributedAction]) -> list[tuple[bytes, bytes]]:
    """SIGNALS of each action, its age against the request's own time."""
    varint = example_proto.varint
    return [(varint(ACTION_IDS[one.action]), varint(age_of(one, request.ts))) for one in actions]
