"""Graded judgments as a log: queries for training become requests with stages, the others are for evaluation.

The pipeline splits by time, so the times are made: requests of training queries, in no order of their words, come in
the first hours of one day, those of test queries in the same hours thirty days later. Any `eval_days` up to 30 and any
`eval_share` cuts between them; `validation_share` parts the training queries. Every query has a user of its own, whose
requests and answers come at one moment: the same moment is not the past, so no history holds an answer.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from preprocessing.adapters.labels import Labels
from preprocessing.adapters.raw_folder import ACTIONS, JUDGMENTS, SEARCHES, TRAIN_JUDGMENTS, RawFolder
from preprocessing.command.console import UserError, progress
from preprocessing.config import StagesConfig

TRAIN_AT, TEST_AT = 1_704_067_200_000, 1_706_659_200_000  # 2024-01-01 and 2024-01-31
_LONGEST_MS = 20 * 3_600_000  # so that all training requests fall on their day
_ACTION = {"ordered": "order", "clicked": "click"}
Graded = dict[str, dict[str, float]]  # query -> item -> label


class Judgment(NamedTuple):
    """One label, and whether its publisher keeps the query for testing (None: not said)."""

    query: str
    item_id: str
    label: float
    test: bool | None = None


class Split(NamedTuple):
    """How queries are shared out where the publisher does not say."""

    share: float
    fold: int
    seed: int

    @classmethod
    def checked(cls, share: float, fold: int, seed: int) -> Split:
        """The split of `--test-share`, `--fold`, `--seed`."""
        if not 0 < share < 1:
            raise UserError(f"--test-share {share:g}: a share between 0 and 1, like 0.2")
        folds = math.floor(1 / share + 1e-9)
        if not 0 <= fold < folds:
            raise UserError(f"--fold {fold}: with --test-share {share:g} there are folds 0 to {folds - 1}")
        return cls(share, fold, seed)

    def test(self, queries: Iterable[str]) -> set[str]:
        """The test queries; spellings that differ in case alone fall on one side."""
        groups: dict[str, list[str]] = {}
        for query in queries:
            groups.setdefault(query.casefold(), []).append(query)
        order = sorted(groups, key=lambda key: hashlib.sha256(f"{self.seed}\n{key}".encode()).digest())
        first, end = (round(len(order) * self.share * place) for place in (self.fold, self.fold + 1))
        return {query for key in order[first:end] for query in groups[key]}


def collect(judgments: Iterable[Judgment], known: set[str], raw: RawFolder) -> tuple[Graded, set[str], bool]:
    """All labels by query, the published test queries, and whether the publisher split at all.

    Several labels of one item for one query count as their mean.
    """
    sums: dict[str, dict[str, tuple[float, int]]] = {}
    test: set[str] = set()
    published = False
    raw.count("judgments", 0)
    for judgment in judgments:
        raw.count("judgments")
        if judgment.item_id not in known:
            raw.count("left out: judgments of items that are not in the catalogue")
            continue
        published = published or judgment.test is not None
        if judgment.test:
            test.add(judgment.query)
        items = sums.setdefault(judgment.query, {})
        label, count = items.get(judgment.item_id, (0.0, 0))
        if count:
            raw.count("judgments of a pair again, averaged")
        items[judgment.item_id] = (label + judgment.label, count + 1)
    graded = {
        query: {item_id: label / count for item_id, (label, count) in items.items()} for query, items in sums.items()
    }
    return graded, test, published


def write_graded(judgments: Iterable[Judgment], known: set[str], labels: Labels, split: Split, raw: RawFolder) -> None:
    """Writes searches, actions and both files of judgments."""
    graded, test, published = collect(judgments, known, raw)
    useful = {query for query, items in graded.items() if any(labels.stage(one) != "shown" for one in items.values())}
    if not published:
        # Apart, so that of the queries that can be learned from and measured the share is as asked.
        test = split.test(useful) | split.test(graded.keys() - useful)
    for name, least in (("training", useful - test), ("test", useful & test)):
        if not least:
            raise UserError(
                f"no {name} query has an item that is ordered or clicked ({len(graded)} queries, {len(useful)} of "
                "them with such an item); --stages and the split decide that"
            )
    writer = _Requests(labels, raw)
    with progress("queries", total=len(graded)) as bar:
        for query in sorted(graded, key=lambda query: (query in useful, _at_random(query))):
            writer.add(query, graded[query], query in test)
            bar.advance()


def _at_random(query: str) -> bytes:
    """The last queries in time are for validation: they must be like the others that make examples."""
    return hashlib.sha256(query.encode()).digest()


class _Requests:
    """Gives each request its id, user and time."""

    def __init__(self, labels: Labels, raw: RawFolder) -> None:
        self._labels = labels
        self._raw = raw
        self._numbers = {True: itertools.count(), False: itertools.count()}
        for name in ("train", "test"):
            for what in ("queries", "requests", "ordered", "clicked", "shown", "judgments"):
                raw.count(f"{name} {what}", 0)

    def add(self, query: str, items: Mapping[str, float], test: bool) -> None:
        """All requests of one query, and its judgments."""
        name, number = "test" if test else "train", next(self._numbers[test])
        ts = (TEST_AT if test else TRAIN_AT) + number % _LONGEST_MS
        by_stage = self._by_stage(items)
        for stage, found in by_stage.items():
            self._raw.count(f"{name} {stage}", len(found))
        self._raw.count(f"{name} queries")
        # A test query is asked once, so that each counts once; training sees its items a page at a time.
        requests = [by_stage] if test else list(pages(by_stage))
        self._raw.count(f"{name} requests", len(requests))
        for page, stages in enumerate(requests):
            ids = {"request_id": f"{name}-{number}-{page}", "ts": ts, "user_id": f"{name} query {number}"}
            results = [*stages["ordered"], *stages["clicked"], *stages["shown"]]
            self._raw.write(SEARCHES, [{**ids, "query": query, "results": results}])
            self._raw.write(ACTIONS, _actions(ids, stages))
        records = self._judgments(query, items)
        self._raw.count(f"{name} judgments", len(records))
        self._raw.write(JUDGMENTS if test else TRAIN_JUDGMENTS, records)

    def _by_stage(self, items: Mapping[str, float]) -> dict[str, list[str]]:
        """The items of each stage, best label first."""
        stages: dict[str, list[str]] = {"ordered": [], "clicked": [], "shown": []}
        for item_id in sorted(items, key=lambda one: (-items[one], one)):
            stages[self._labels.stage(items[item_id])].append(item_id)
        return stages

    def _judgments(self, query: str, items: Mapping[str, float]) -> list[dict[str, Any]]:
        return [
            {"query": query, "item_id": item_id, "grade": self._labels.grade(label), "label": label}
            for item_id, label in sorted(items.items(), key=lambda one: (-one[1], one[0]))
        ]


def pages(stages: Mapping[str, Sequence[str]]) -> Iterator[dict[str, list[str]]]:
    """Cuts a query's items into as many requests as its positives fill; each positive is on one page.

    What was shown is dealt out over the pages, and again where it does not fill them.
    """
    limits = StagesConfig()
    number = max(-(-len(stages["ordered"]) // limits.ordered), -(-len(stages["clicked"]) // limits.clicked), 1)
    shown = stages["shown"]
    places = min(len(shown), max(limits.shown, -(-len(shown) // number)))
    for page in range(number):
        yield {
            "ordered": list(stages["ordered"][page::number]),
            "clicked": list(stages["clicked"][page::number]),
            "shown": [shown[(page * places + place) % len(shown)] for place in range(places)],
        }


def _actions(ids: Mapping[str, Any], stages: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    return [
        {**ids, "item_id": item_id, "action": action} for stage, action in _ACTION.items() for item_id in stages[stage]
    ]
