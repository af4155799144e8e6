"""Items with those who need them: the catalogue is joined by key, never held whole by one worker."""

from __future__ import annotations

import collections
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.data import example_proto
from preprocessing.data.example_proto import FeatureWriter
from preprocessing.data.features import catalog_features, item_columns
from preprocessing.data.record_files import ShardKey, order_key, shard_of
from preprocessing.joins.join_users import TOKENS
from preprocessing.logs.parse import COUNTS
from preprocessing.logs.records import ATTRIBUTES, Item, pack, unpack

if TYPE_CHECKING:
    from preprocessing.joins.encode_strings import Encoder

JOINED, TOTALS, KNOWN, CATALOG = "joined", "totals", "known", "catalog_examples"


class CountedItem(NamedTuple):
    """An item, how often it was acted on and how often it answered a request, both in the training time."""

    item: Item
    deeds: int
    positives: int

    @classmethod
    def unpacked(cls, packed: tuple) -> CountedItem:
        """Back from plain tuples."""
        item, deeds, positives = packed
        return cls(Item._make(item), deeds, positives)


KnownItem = tuple[bytes, ...]  # the contents of `examples.item_columns`, ready to be joined


class Totals(NamedTuple):
    """Live items and their positives, over the whole catalogue."""

    items: int
    positives: int

    def log_prob(self, positives: int) -> float:
        """How likely an item is to be drawn as a positive, each item counted once more than it was seen."""
        return math.log((positives + 1) / (self.positives + self.items))


class JoinItems(beam.DoFn):
    """(partition, catalogue and needs) -> counted items with who needs them, and the tokens they bring."""

    def __init__(self, config: PreprocessingConfig) -> None:
        self._config = config

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._count_grains = encode_strings.count_grains

    def process(self, element: tuple[int, Mapping[str, Iterable[bytes]]]) -> Iterator[Any]:
        partition, sides = element
        needed_by: dict[str, list[int]] = collections.defaultdict(list)
        deeds: collections.Counter[str] = collections.Counter()
        positives: collections.Counter[str] = collections.Counter()
        for batch in sides["needs"]:
            for item_id, user_partition, deed_count, positive_count in unpack(tuple, batch):
                needed_by[item_id].append(user_partition)
                deeds[item_id] += deed_count
                positives[item_id] += positive_count
        items, counts = self._catalog(sides["catalog"], needed_by)
        counted = [CountedItem(item, deeds[item.item_id], positives[item.item_id]) for item in items]
        askers = [sorted(needed_by[item.item_id]) for item in items]
        packed = pack((tuple(item.item), item.deeds, item.positives) for item in counted)
        yield beam.pvalue.TaggedOutput(JOINED, (partition, (packed, pack(map(tuple, askers)))))
        live = [item.positives for item in counted if item.item.in_stock]
        counts["items",] += len(live)
        yield beam.pvalue.TaggedOutput(TOTALS, (len(live), sum(live)))
        for token in self._tokens(counted):
            yield beam.pvalue.TaggedOutput(TOKENS, token)
        counts.update(("frequency", "item", str(item.positives)) for item in counted if item.positives)
        for count in counts.items():
            yield beam.pvalue.TaggedOutput(COUNTS, count)

    def _catalog(
        self, batches: Iterable[bytes], needed: Iterable[str]
    ) -> tuple[list[Item], collections.Counter[tuple[str, ...]]]:
        """The items in order, each once; without a catalogue those that were acted on or shown."""
        counts: collections.Counter[tuple[str, ...]] = collections.Counter()
        if self._config.input.catalog is None:
            return [Item(item_id) for item_id in sorted(needed)], counts
        items: dict[str, Item] = {}
        for item in sorted((item for batch in batches for item in unpack(Item._make, batch)), key=repr):
            if items.setdefault(item.item_id, item) is not item:
                counts["catalog", "excluded", "duplicate"] += 1
            elif item.in_stock:
                counts["catalog", "used"] += 1
            else:
                counts["catalog", "excluded", "out of stock"] += 1
        return [items[item_id] for item_id in sorted(items)], counts

    def _tokens(self, counted: Sequence[CountedItem]) -> Iterator[tuple[tuple[str, str], int]]:
        text = self._config.text
        titles = collections.Counter(item.item.title for item in counted if item.item.title)
        yield from self._count_grains(titles, text.title_grains, text).items()
        attributes: collections.Counter[tuple[str, str]] = collections.Counter()
        for item, deeds, _ in counted:
            # An attribute counts for the item that has it and for each time that item was chosen.
            for name in ("brand", "shop", "leaf", "top"):
                attributes[name, getattr(item, name)] += 1 + deeds
            attributes["item", item.item_id] += 1 + deeds
        yield from ((key, count) for key, count in attributes.items() if key[1])


class EncodeItems(beam.DoFn):
    """Counted items -> known items for each user partition that needs them, and the catalogue's examples."""

    def __init__(self, config: PreprocessingConfig, buckets: Mapping[str, int]) -> None:
        self._config = config
        self._buckets = dict(buckets)

    def setup(self) -> None:
        from preprocessing.joins import encode_strings

        self._encoder = encode_strings.encoder
        features = catalog_features(self._config.text.title_grains)
        self._writers = {feature.name: FeatureWriter(feature.name, feature.dtype) for feature in features}

    def process(
        self, element: tuple[int, tuple[bytes, bytes]], words: Mapping[str, Sequence[str]], totals: tuple[int, int]
    ) -> Iterator[Any]:
        _, (packed, packed_askers) = element
        counted = unpack(CountedItem.unpacked, packed)
        known = self._known(counted, self._encoder(words, self._buckets, self._config.text), Totals(*totals))
        wanted: dict[int, list[tuple]] = collections.defaultdict(list)
        for one, item, askers in zip(counted, known, unpack(tuple, packed_askers), strict=True):
            for user_partition in askers:
                wanted[user_partition].append((one.item.item_id, item))
        for user_partition, items in wanted.items():
            yield beam.pvalue.TaggedOutput(KNOWN, (user_partition, pack(items)))
        for shard in self._catalog(counted, known):
            yield beam.pvalue.TaggedOutput(CATALOG, shard)

    def _known(self, counted: Sequence[CountedItem], encode: Encoder, totals: Totals) -> list[KnownItem]:
        items = [item for item, _, _ in counted]
        titles = encode.texts([item.title for item in items], self._config.text.title_grains)
        values = {"item": [item.item_id for item in items]}
        values |= {name: [getattr(item, name) for item in items] for name in ATTRIBUTES[1:]}
        ids = zip(*(encode.ids(name, values[name]) for name in ATTRIBUTES), strict=True)
        return [
            (
                example_proto.strings([one.item.item_id.encode()]),
                *(example_proto.varint(key) for key in keys),
                example_proto.floats([totals.log_prob(one.positives)]),
                *(
                    content
                    for grain in title
                    for content in (example_proto.ints(grain), example_proto.varint(len(grain)))
                ),
            )
            for one, keys, title in zip(counted, ids, titles, strict=True)
        ]

    def _catalog(self, counted: Iterable[CountedItem], known: Iterable[KnownItem]) -> Iterator[tuple[ShardKey, bytes]]:
        shards: dict[ShardKey, list[tuple[bytes, bytes]]] = collections.defaultdict(list)
        for one, item in zip(counted, known, strict=True):
            if one.item.in_stock:
                order = order_key(self._config.seed, one.item.item_id)
                shard = shard_of("catalog", order, self._config.output.catalog_shards)
                shards[shard].append((order, self._example(one, item)))
        for shard, records in shards.items():
            yield shard, pack(records)

    def _example(self, one: CountedItem, known: KnownItem) -> bytes:
        item = one.item
        raw = {"title": item.title, "brand_name": item.brand, "shop_name": item.shop}
        raw |= {"leaf_name": item.leaf, "top_name": item.top}
        contents = {name: example_proto.strings([value.encode()]) for name, value in raw.items()}
        contents |= {"count": example_proto.varint(one.positives), "price": example_proto.floats([item.price])}
        columns = [name for name, _ in item_columns(self._config.text.title_grains)]
        contents |= {name: content for name, content in zip(columns, known, strict=True) if name in self._writers}
        return example_proto.example(self._writers[name](content) for name, content in sorted(contents.items()))
