"""A catalogue without a log: each item is asked for by words of its own, once, by nobody, and is what was clicked."""

from __future__ import annotations

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig, SplitConfig
from preprocessing.joins.attribution import AttributedAction, Request
from preprocessing.joins.join_items import JOINED, CountedItem
from preprocessing.joins.join_users import LOGS, TOKENS, query_tokens
from preprocessing.joins.sketch_queries import QUERIES, sketch_of
from preprocessing.joins.user_log import UserLog
from preprocessing.logs.parse import TIMES, hour_of
from preprocessing.logs.records import CLICK, Item
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic
from preprocessing.shuffle.packing import pack, unpack
from preprocessing.shuffle.partitions import Dealing, pack_ranks

# Of the moments that items are asked for at, which are hashes of them.
CATALOGUE_SPLIT = SplitConfig(eval_days=None, eval_share=0.05, validation_share=0.05)
_NOBODY = ""


class AskItems(beam.DoFn):
    """Counted items -> the log that asks for them, the same items looked up by it, its tokens and its times."""

    def __init__(self, config: PreprocessingConfig, dealing: Dealing) -> None:
        self._config = config
        self._dealing = dealing

    def setup(self) -> None:
        from preprocessing.joins import encode_strings  # TensorFlow comes with it

        self._count_grains = encode_strings.count_grains
        self._queries_of = encode_strings.queries_of
        self._traffic = Traffic(LOGS)

    def process(self, packed: bytes) -> Iterator[Any]:
        counted = unpack(CountedItem.unpacked, packed)
        logs = self._logs([one.item for one in counted if one.item.in_stock])
        batches: KeyedBatches[int] = KeyedBatches(self._dealing.keys, self._traffic)
        for log in logs:
            partition = self._dealing.partition_of(log.actions[0].item_id)
            batches.add(self._dealing.key_of(partition), (self._dealing.rank_of(partition), log.packable()))
        for keyed in batches.drain():
            yield beam.pvalue.TaggedOutput(LOGS, keyed)
        looked_up = [one._replace(askers=(self._asker(one.item.item_id),)) for one in counted]
        yield beam.pvalue.TaggedOutput(JOINED, pack(one.packable() for one in looked_up))
        requests = [log.requests[0] for log in logs]
        queries = collections.Counter(one.query for one in requests)
        yield beam.pvalue.TaggedOutput(QUERIES, sketch_of(queries))
        for token in query_tokens(queries, self._config.text, self._count_grains):
            yield beam.pvalue.TaggedOutput(TOKENS, token)
        for one in requests:
            yield beam.pvalue.TaggedOutput(TIMES, hour_of(one.ts))

    def _asker(self, item_id: str) -> tuple[int, bytes]:
        partition = self._dealing.partition_of(item_id)
        return self._dealing.key_of(partition), pack_ranks([self._dealing.rank_of(partition)])

    def _logs(self, items: Sequence[Item]) -> list[UserLog]:
        """One of each item that has a word."""
        queries = self._queries_of(items, self._config.seed)
        return [_log(item, query, ts) for item, (query, ts) in zip(items, queries, strict=True) if query]


def _log(item: Item, query: str, ts: int) -> UserLog:
    request = Request(ts, f"catalog request for {item.item_id}", query, results=())
    click = AttributedAction(ts, item.item_id, CLICK, ts, request=0, named=True, source=item.source)
    return UserLog(_NOBODY, [request], [click])
