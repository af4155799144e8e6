"""Requests to examples: what each answered, what came before it, and the count of it all."""

from __future__ import annotations

import collections
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.data.features import EncodedItem
from preprocessing.joins.attribution import AttributedAction, Request, answers_by_request
from preprocessing.joins.history import History, Past, previous_queries
from preprocessing.joins.request_stages import labels_of, positives, shown_in_vain
from preprocessing.joins.shared_encoder import SharedEncoder
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserLog
from preprocessing.joins.write_request import RequestFeatures, RequestWriter, Stages, Table
from preprocessing.logs.parse import COUNTS, REJECTED, rejected_record
from preprocessing.logs.records import days
from preprocessing.shuffle.packing import unpack
from preprocessing.shuffle.partitions import Dealing, unpack_ranks
from preprocessing.shuffle.split_late import PartitionsOf, Sides, split_late

_OWNERS: dict[str, PartitionsOf] = {"logs": lambda log: log[:1], "items": lambda item: unpack_ranks(item[0])}


class BuildExamples(beam.DoFn):
    """(key, logs and encoded items) -> (key, example) by split, counts and late rejections."""

    def __init__(self, config: PreprocessingConfig, encoder: SharedEncoder, dealing: Dealing) -> None:
        self._config = config
        self._encoder = encoder
        self._dealing = dealing

    def setup(self) -> None:
        self._features = RequestFeatures(self._config.text, self._config.input.vector_width)

    def process(
        self, element: tuple[int, Iterable[tuple[str, bytes]]], words: Mapping[str, Sequence[str]], cuts: Cuts
    ) -> Iterator[Any]:
        for _, sides in split_late(*element, self._dealing, _OWNERS):
            yield from self._build(sides, words, cuts)

    def _build(self, sides: Sides, words: Mapping[str, Sequence[str]], cuts: Cuts) -> Iterator[Any]:
        logs = [UserLog.unpacked(log) for batch in sides.get("logs", ()) for _, log in unpack(tuple, batch)]
        if not logs:
            return
        found = (one for batch in sides.get("items", ()) for one in unpack(tuple, batch))
        table = Table.of_items({item_id: EncodedItem._make(item) for _, item_id, item in found}, self._features)
        asked = (request.query for log in logs for request in log.requests)
        queries = Table.of_queries(asked, self._encoder.get(words), self._features)
        writer, items = RequestWriter(self._features, table, queries), table.places
        keys: list[tuple[str, str]] = []
        counts = ExampleCounts()
        for log in logs:
            for place, action in enumerate(log.actions):
                if action.item_id not in items and place not in log.seen.known_actions:
                    counts.add("actions", "rejected", "unknown item")
                    yield beam.pvalue.TaggedOutput(REJECTED, _unknown_item(log.user_id, action))
            for request, past, stages in self._answered(log, items, cuts, counts):
                split = cuts.split_of(request.ts)
                counts.add_example(split, past, stages)
                writer.add(log.user_id, request, past, stages)
                keys.append((split, example_key(log.user_id, request)))
                if writer.full:
                    yield from _examples(keys, writer)
        yield from _examples(keys, writer)
        for count in counts.all():
            yield beam.pvalue.TaggedOutput(COUNTS, count)

    def _answered(
        self, log: UserLog, items: Container[str], cuts: Cuts, counts: ExampleCounts
    ) -> Iterator[tuple[Request, Past, Stages]]:
        """The requests of a user that have a positive, with what was before each."""
        config = self._config.history
        actions = [action for action in log.actions if action.item_id in items]
        counts.add("actions", "used", times=_new(log, items))
        answers = answers_by_request(log.actions)
        history = History(actions, config)
        times, asked = [request.ts for request in log.requests], [request.query for request in log.requests]
        for place, request in enumerate(log.requests):
            if place in log.seen.written:
                continue
            known = [item_id for item_id in request.results if item_id in items]
            stages = self._stages(request, known, answers.get(place, ()), items, cuts)
            if not stages["ordered"] and not stages["clicked"]:
                counts.add("searches", "excluded", "no positive", times=place not in log.seen.counted)
                continue
            counts.add("shown_unknown_items", times=len(request.results) - len(known))
            horizons = history.at(request.ts)
            since = request.ts - days(config.long_days)
            past = Past(history.day, horizons, previous_queries(times, asked, request.ts, since, config.queries))
            yield request, past, stages

    def _stages(
        self,
        request: Request,
        known: Sequence[str],
        answers: Sequence[AttributedAction],
        items: Container[str],
        cuts: Cuts,
    ) -> Stages:
        """The request's items by stage, those that the catalogue has; `known` are those of its page."""
        limits = self._config.stages
        chosen = positives(request, labels_of(request, answers, cuts), limits)
        return {
            "ordered": [item_id for item_id in chosen.ordered if item_id in items],
            "clicked": [item_id for item_id in chosen.clicked if item_id in items],
            "shown": shown_in_vain(known, answers, limits.shown),
        }


def _examples(keys: list[tuple[str, str]], writer: RequestWriter) -> Iterator[beam.pvalue.TaggedOutput]:
    """(key, example) by split of all that the writer holds."""
    for (split, key), example in zip(keys, writer.drain(), strict=True):
        yield beam.pvalue.TaggedOutput(split, (key, example))
    keys.clear()


def _new(log: UserLog, items: Container[str]) -> int:
    """How many actions on known items no earlier day has had."""
    return sum(one.item_id in items and place not in log.seen.known_actions for place, one in enumerate(log.actions))


def example_key(user_id: str, request: Request) -> str:
    """What an example of a request goes by: ids hold no line break."""
    return f"{user_id}\n{request.request_id}"


def _unknown_item(user_id: str, action: AttributedAction) -> dict[str, str]:
    record = {"ts": action.ts, "user_id": user_id, "item_id": action.item_id, "action": action.action}
    return rejected_record("actions", "unknown item", action.source, record)


class ExampleCounts:
    """All that is counted of one partition's examples."""

    def __init__(self) -> None:
        self._counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        self._lengths: collections.Counter[tuple[str, int]] = collections.Counter()

    def add(self, *key: str, times: int = 1) -> None:
        """Counts one thing."""
        self._counts[key] += times

    def add_example(self, split: str, past: Past, stages: Stages) -> None:
        """Counts an example and how long its lists are."""
        self._counts["searches", "used"] += 1
        self._counts["examples", split] += 1
        lists = {**past.horizons, "queries": past.queries, **stages}
        for name, one in lists.items():
            self._lengths[name, len(one)] += 1
        self._lengths["positives", len(stages["ordered"]) + len(stages["clicked"])] += 1

    def all(self) -> Iterator[tuple[tuple[str, ...], int]]:
        """(what, how often)."""
        yield from self._counts.items()
        for (name, length), count in self._lengths.items():
            yield ("length", name, str(length)), count
