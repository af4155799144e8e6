"""Graded judgments as a log: queries for training become requests with stages, the others are to validate or to test.

The pipeline splits by time, so the times are made: requests of training queries come in the first hours of one day,
those of validation queries in the same hours of the next, those of test queries thirty days behind these. Any
`eval_days` up to 30 and any `eval_share` cuts before the test, one `validation_day` before validation. Every query has
a user of its own, whose requests and answers come at one moment: the same moment is not the past, so no history holds
an answer.
"""

from __future__ import annotations

import hashlib
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from preprocessing.adapters.labels import Labels
from preprocessing.adapters.raw_folder import ACTIONS, JUDGMENTS_OF, SEARCHES, RawFolder
from preprocessing.command.console import UserError, progress
from preprocessing.config import StagesConfig

TRAIN, VALIDATION, TEST = "train", "validation", "test"
# 2024-01-01, 2024-01-02 and 2024-02-01
AT = {TRAIN: 1_704_067_200_000, VALIDATION: 1_704_153_600_000, TEST: 1_706_745_600_000}
_LONGEST_MS = 20 * 3_600_000  # so that all requests fall on their day
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
    validation_share: float = 0.1  # of the training queries

    @classmethod
    def checked(cls, share: float, fold: int, seed: int, validation_share: float) -> Split:
        """The split of `--test-share`, `--fold`, `--seed` and `--validation-share`."""
        for flag, one in (("--test-share", share), ("--validation-share", validation_share)):
            if not 0 < one < 1:
                raise UserError(f"{flag} {one:g}: a share between 0 and 1, like 0.2")
        folds = math.floor(1 / share + 1e-9)
        if not 0 <= fold < folds:
            raise UserError(f"--fold {fold}: with --test-share {share:g} there are folds 0 to {folds - 1}")
        return cls(share, fold, seed, validation_share)

    def test(self, queries: Iterable[str]) -> set[str]:
        """The test queries; spellings that differ in case alone fall on one side."""
        groups = _shuffled(queries, f"{self.seed}")
        first, end = (round(len(groups) * self.share * place) for place in (self.fold, self.fold + 1))
        return set(itertools.chain.from_iterable(groups[first:end]))

    def validation(self, queries: Iterable[str]) -> set[str]:
        """Of training queries those to validate by, at least one of them."""
        groups = _shuffled(queries, f"{self.seed} {self.fold} validation")
        return set(itertools.chain.from_iterable(groups[: max(round(len(groups) * self.validation_share), 1)]))


def _shuffled(queries: Iterable[str], salt: str) -> list[list[str]]:
    """Queries in groups of those that differ in case alone, in an order that a salt decides."""
    groups: dict[str, list[str]] = {}
    for query in queries:
        groups.setdefault(query.casefold(), []).append(query)
    order = sorted(groups, key=lambda key: hashlib.sha256(f"{salt}\n{key}".encode()).digest())
    return [groups[key] for key in order]


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
    learned = graded.keys() - test
    validation = split.validation(learned & useful) | split.validation(learned - useful)
    queries = {TRAIN: learned - validation, VALIDATION: validation, TEST: graded.keys() & test}
    for name, own in queries.items():
        if not own & useful:
            raise UserError(
                f"no {name} query has an item that is ordered or clicked ({len(graded)} queries, {len(useful)} of "
                "them with such an item); --stages and the split decide that"
            )
    writer = _Requests(labels, raw)
    with progress("queries", total=len(graded)) as bar:
        for name, own in queries.items():
            for query in sorted(own):
                writer.add(query, graded[query], name)
                bar.advance()


class _Requests:
    """Gives each request its id, user and time."""

    def __init__(self, labels: Labels, raw: RawFolder) -> None:
        self._labels = labels
        self._raw = raw
        self._numbers = {name: itertools.count() for name in AT}
        for name in AT:
            for what in ("queries", "requests", "ordered", "clicked", "shown", "judgments"):
                raw.count(f"{name} {what}", 0)

    def add(self, query: str, items: Mapping[str, float], name: str) -> None:
        """All requests of one query, and its judgments."""
        number = next(self._numbers[name])
        ts = AT[name] + number % _LONGEST_MS
        by_stage = self._by_stage(items)
        for stage, found in by_stage.items():
            self._raw.count(f"{name} {stage}", len(found))
        self._raw.count(f"{name} queries")
        # Others are asked once, so that each query counts once; training sees their items a page at a time.
        requests = list(pages(by_stage)) if name == TRAIN else [by_stage]
        self._raw.count(f"{name} requests", len(requests))
        for page, stages in enumerate(requests):
            ids = {"request_id": f"{name}-{number}-{page}", "ts": ts, "user_id": f"{name} query {number}"}
            results = [*stages["ordered"], *stages["clicked"], *stages["shown"]]
            self._raw.write(SEARCHES, [{**ids, "query": query, "results": results}])
            self._raw.write(ACTIONS, _actions(ids, stages))
        records = self._judgments(query, items)
        self._raw.count(f"{name} judgments", len(records))
        self._raw.write(JUDGMENTS_OF[name], records)

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
