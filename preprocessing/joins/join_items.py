"""Items with those who look them up: the catalogue is joined by key, never held whole by one worker."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.data.past_files import ITEMS
from preprocessing.joins.count_prices import price_histograms
from preprocessing.joins.join_users import TOKENS
from preprocessing.joins.look_up_items import LOOKUPS, ItemLookup
from preprocessing.logs.parse import COUNTS
from preprocessing.logs.records import Item
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic
from preprocessing.shuffle.packing import unpack
from preprocessing.shuffle.partitions import Dealing, pack_ranks, unpack_ranks
from preprocessing.shuffle.split_late import PartitionsOf, Sides, split_late

JOINED, TOTALS, PRICES, KEPT = "joined", "totals", "prices", "kept"
Counts = collections.Counter[tuple[str, ...]]


class CountedItem(NamedTuple):
    """An item, how often it was acted on and how often it answered a request, both in the training time."""

    item: Item
    actions: int
    positives: int
    askers: tuple[tuple[int, bytes], ...]  # keys of users, each with the ranks of the partitions that look it up

    def packable(self) -> tuple:
        """As plain tuples, for `records.pack`."""
        return self._replace(item=tuple(self.item))  # type: ignore[arg-type]

    @classmethod
    def unpacked(cls, packed: tuple) -> CountedItem:
        """Back from `packable`."""
        item, *counts = packed
        return cls(Item._make(item), *counts)


class PastItem(NamedTuple):
    """An item as earlier days have it, and what these counted."""

    item_id: str
    item: tuple
    actions: int
    positives: int


class JoinItems(beam.DoFn):
    """(key, catalogue and lookups) -> counted items, their totals, their prices, and the tokens they bring."""

    def __init__(self, config: PreprocessingConfig, dealing: Dealing, has_catalog: bool, keeps: bool = False) -> None:
        self._config = config
        self._dealing = dealing
        self._has_catalog = has_catalog
        self._keeps = keeps

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._count_grains = encode_strings.count_grains
        self._owners = dict.fromkeys(("catalog", LOOKUPS, ITEMS), _owner(self._dealing))
        self._kept: KeyedBatches[int] = KeyedBatches(1)
        self._joined: KeyedBatches[None] = KeyedBatches(1, Traffic(JOINED))

    def process(self, element: tuple[int, Iterable[tuple[str, bytes]]]) -> Iterator[Any]:
        key, batches = element
        for _, sides in split_late(key, batches, self._dealing, self._owners):
            yield from self._join(key, sides)
            if self._joined.full:
                yield from self._drained()
        yield from self._drained()

    def _drained(self) -> Iterator[Any]:
        for _, batch in self._joined.drain():
            yield beam.pvalue.TaggedOutput(JOINED, batch)
        for keyed in self._kept.drain():
            yield beam.pvalue.TaggedOutput(KEPT, keyed)

    def _join(self, key: int, sides: Sides) -> Iterator[Any]:
        lookups: dict[str, list[ItemLookup]] = collections.defaultdict(list)
        for batch in sides.get(LOOKUPS, ()):  # of a catalogue alone there are none
            for lookup in unpack(ItemLookup._make, batch):
                lookups[lookup.item_id].append(lookup)
        past = {one.item_id: one for batch in sides.get(ITEMS, ()) for one in unpack(PastItem._make, batch)}
        counts: Counts = collections.Counter()
        if self._has_catalog:
            today = (item for batch in sides.get("catalog", ()) for item in unpack(Item._make, batch))
            items = newest(today, counts, (Item._make(one.item) for one in past.values()))
        else:  # items are known by id alone
            items = [Item(item_id) for item_id in sorted(lookups.keys() | past.keys())]
        counted = [_counted(item, lookups.get(item.item_id, ()), past.get(item.item_id)) for item in items]
        for one in counted:
            self._joined.add(None, one.packable())
            if self._keeps:
                self._kept.add(key, PastItem(one.item.item_id, tuple(one.item), one.actions, one.positives))
        live = [one.positives for one in counted if one.item.in_stock]
        counts["items",] += len(live)
        yield beam.pvalue.TaggedOutput(TOTALS, (len(live), sum(live)))
        for histogram in price_histograms(one.item for one in counted if one.item.in_stock).items():
            yield beam.pvalue.TaggedOutput(PRICES, histogram)
        for token in self._tokens(counted):
            yield beam.pvalue.TaggedOutput(TOKENS, token)
        counts.update(("frequency", "item", str(one.positives)) for one in counted if one.positives)
        for count in counts.items():
            yield beam.pvalue.TaggedOutput(COUNTS, count)

    def _tokens(self, counted: Sequence[CountedItem]) -> Iterator[tuple[tuple[str, str], int]]:
        text = self._config.text
        titles = collections.Counter(one.item.title for one in counted if one.item.title)
        yield from self._count_grains(titles, text.title_grains, text).items()
        attributes: collections.Counter[tuple[str, str]] = collections.Counter()
        for one in counted:
            # An attribute counts for the item that has it and for each time that item was chosen.
            for name in ("brand", "shop", "leaf", "top"):
                attributes[name, getattr(one.item, name)] += 1 + one.actions
            attributes["item", one.item.item_id] += 1 + one.actions
        yield from ((key, count) for key, count in attributes.items() if key[1])


def _counted(item: Item, lookups: Sequence[ItemLookup], past: PastItem | None) -> CountedItem:
    actions, chosen = (past.actions, past.positives) if past is not None else (0, 0)
    ranks_by_key: dict[int, list[bytes]] = collections.defaultdict(list)
    for lookup in lookups:
        ranks_by_key[lookup.user_key].append(lookup.ranks)
    return CountedItem(
        item,
        actions=actions + sum(lookup.actions for lookup in lookups),
        positives=chosen + sum(lookup.positives for lookup in lookups),
        askers=tuple((key, _merged(ranks)) for key, ranks in sorted(ranks_by_key.items())),
    )


def _merged(ranks: Sequence[bytes]) -> bytes:
    return ranks[0] if len(ranks) == 1 else pack_ranks({rank for one in ranks for rank in unpack_ranks(one)})


def _owner(dealing: Dealing) -> PartitionsOf:
    return lambda record: (dealing.partition_of(record[0]),)  # of an item and of a lookup the id comes first


def newest(records: Iterable[Item], counts: Counts, past: Iterable[Item] = ()) -> list[Item]:
    """The items in order, each as its newest record has it; what is left out is counted."""
    items = {item.item_id: item for item in past}
    before_today = set(items)
    for item in records:
        before = items.setdefault(item.item_id, item)
        if before is not item:
            items[item.item_id] = max(before, item, key=_newness)
            counts["catalog", "excluded", "duplicate"] += item.item_id not in before_today
            before_today.discard(item.item_id)
    live = sum(item.in_stock for item in items.values())
    counts["catalog", "used"] += live
    counts["catalog", "excluded", "out of stock"] += len(items) - live
    return [items[item_id] for item_id in sorted(items)]


def _newness(item: Item) -> tuple[int, str, int, str]:
    """By its own time; of records without one, or of one time, the last by its file's name and its place there."""
    return item.updated_at, item.source, item.place, repr(item)
