"""Which items users ask for: what was shown or acted on, and how often it was chosen in the training time."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from preprocessing.config import StagesConfig
from preprocessing.joins.attribution import answers_by_request
from preprocessing.joins.request_stages import labels_of, positives
from preprocessing.joins.split import Cuts
from preprocessing.joins.user_log import UserLog
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic
from preprocessing.shuffle.partitions import Dealing, pack_ranks

LOOKUPS = "lookups"
_MOST = 200_000  # items held, near 100 MB: what many partitions of a key ask for is looked up once for all of them


class ItemLookup(NamedTuple):
    """Partitions of users ask for an item, and say how often they chose it in the training time."""

    item_id: str
    user_key: int
    ranks: bytes  # of that key's partitions, as `pack_ranks` has them
    actions: int
    positives: int


class Lookups:
    """Lookups of many partitions of one key, one an item."""

    def __init__(self, items: Dealing, limits: StagesConfig) -> None:
        self._items = items
        self._limits = limits
        self._traffic = Traffic(LOOKUPS)
        self._clear()

    def _clear(self) -> None:
        self._askers: dict[str, list[int]] = collections.defaultdict(list)
        self._actions: collections.Counter[str] = collections.Counter()
        self._positives: collections.Counter[str] = collections.Counter()

    def add(self, rank: int, logs: Iterable[UserLog], cuts: Cuts) -> None:
        """Takes the logs of a partition of users."""
        asked: set[str] = set()
        for log in logs:
            for request in log.requests:
                asked.update(request.results)
            asked.update([action.item_id for action in log.actions])
            self._actions.update(_training_actions(log, cuts))
            self._positives.update(_training_positives(log, cuts, self._limits))
        for item_id in asked:
            self._askers[item_id].append(rank)

    @property
    def full(self) -> bool:
        """Whether it is time to drain."""
        return len(self._askers) >= _MOST

    def drain(self, user_key: int) -> Iterator[tuple[int, bytes]]:
        """(key of items, lookups) of all that is held, which it is then no longer."""
        batches: KeyedBatches[int] = KeyedBatches(self._items.keys, self._traffic)
        for item_id, ranks in self._askers.items():
            counts = self._actions[item_id], self._positives[item_id]
            lookup = ItemLookup(item_id, user_key, pack_ranks(ranks), *counts)
            batches.add(self._items.key_of_id(item_id), lookup)
        self._clear()
        return batches.drain()


def _training_actions(log: UserLog, cuts: Cuts) -> Iterator[str]:
    """The items acted on in the training time, by what no earlier day has counted."""
    for place, action in enumerate(log.actions):
        if action.effective_ts < cuts.validation and place not in log.seen.counted_actions:
            yield action.item_id


def _training_positives(log: UserLog, cuts: Cuts, limits: StagesConfig) -> Iterator[str]:
    """The items that the training examples of a user will be written with as positives."""
    for place, answers in answers_by_request(log.actions).items():
        request = log.requests[place]
        if request.ts < cuts.validation and place not in log.seen.written:
            chosen = positives(request, labels_of(request, answers, cuts), limits)
            yield from (*chosen.ordered, *chosen.clicked)
