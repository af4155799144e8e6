"""Counted items as ids: for each partition of users what it looked up, and an example of each live item."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import apache_beam as beam

from preprocessing.config import PreprocessingConfig
from preprocessing.data import example_proto
from preprocessing.data.example_proto import FeatureWriter
from preprocessing.data.features import PRICE_VALUE, EncodedItem, catalog_features
from preprocessing.joins.join_items import CountedItem
from preprocessing.joins.shared_encoder import SharedEncoder
from preprocessing.logs.records import ATTRIBUTES, Item
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic, in_the_end
from preprocessing.shuffle.packing import unpack
from preprocessing.shuffle.partitions import Dealing

if TYPE_CHECKING:
    from preprocessing.joins.encode_strings import Encoder

ENCODED, CATALOG = "encoded", "catalog_examples"


class CatalogTotals(NamedTuple):
    """Live items and their positives, over the whole catalogue."""

    items: int
    positives: int

    def log_prob(self, positives: int) -> float:
        """How likely an item is to be drawn as a positive, each item counted once more than it was seen."""
        return math.log((positives + 1) / (self.positives + self.items))


class SumTotals(beam.CombineFn):
    """The totals of all partitions."""

    def create_accumulator(self) -> tuple[int, int]:
        return 0, 0

    def add_input(self, accumulator: tuple[int, int], totals: tuple[int, int]) -> tuple[int, int]:
        return accumulator[0] + totals[0], accumulator[1] + totals[1]

    def merge_accumulators(self, accumulators: Iterable[tuple[int, int]]) -> tuple[int, int]:
        items, positives = zip(*accumulators, strict=True)
        return sum(items), sum(positives)

    def extract_output(self, accumulator: tuple[int, int]) -> tuple[int, int]:
        return accumulator


class EncodeItems(beam.DoFn):
    """Counted items -> (key of users, their encoded items), and (item id, example) of what is live."""

    def __init__(self, config: PreprocessingConfig, encoder: SharedEncoder, users: Dealing) -> None:
        self._config = config
        self._encoder = encoder
        self._users = users

    def setup(self) -> None:
        self._example = CatalogWriter(self._config)
        self._batches: KeyedBatches[int] = KeyedBatches(self._users.keys, Traffic(ENCODED))

    def process(self, packed: bytes, words: Mapping[str, Sequence[str]], totals: tuple[int, int]) -> Iterator[Any]:
        counted = unpack(CountedItem.unpacked, packed)
        encoded = self._encode(counted, self._encoder.get(words), CatalogTotals(*totals))
        for one, item in zip(counted, encoded, strict=True):
            for key, ranks in one.askers:
                self._batches.add(key, (ranks, one.item.item_id, tuple(item)))
            if self._batches.full:
                yield from (beam.pvalue.TaggedOutput(ENCODED, keyed) for keyed in self._batches.drain())
        for one, item in zip(counted, encoded, strict=True):
            if one.item.in_stock:
                yield beam.pvalue.TaggedOutput(CATALOG, (one.item.item_id, self._example(one, item)))

    def finish_bundle(self) -> Iterator[Any]:
        for keyed in self._batches.drain():
            yield beam.pvalue.TaggedOutput(ENCODED, in_the_end(keyed))

    def _encode(self, counted: Sequence[CountedItem], encoder: Encoder, totals: CatalogTotals) -> list[EncodedItem]:
        items = [one.item for one in counted]
        titles = encoder.texts([item.title for item in items], self._config.text.title_grains)
        width = self._config.input.vector_width
        missing = example_proto.floats([0.0] * width)
        columns = [encoder.ids(name, [attribute(item, name) for item in items]) for name in ATTRIBUTES]
        columns.append(encoder.price_bands([(item.price, item.leaf, item.top) for item in items]))
        return [
            EncodedItem(
                item_id=example_proto.strings([one.item.item_id.encode()]),
                attributes=tuple(map(example_proto.varint, attributes)),
                log_prob=example_proto.floats([totals.log_prob(one.positives)]),
                title=tuple(
                    part for ids in title for part in (example_proto.ints(ids), example_proto.varint(len(ids)))
                ),
                vector=(one.item.vector or missing,) if width else (),
            )
            for one, attributes, title in zip(counted, zip(*columns, strict=True), titles, strict=True)
        ]


def attribute(item: Item, name: str) -> str:
    """What one of ATTRIBUTES says of an item."""
    return item.item_id if name == "item" else getattr(item, name)


class CatalogWriter:
    """Writes the example of a live item."""

    def __init__(self, config: PreprocessingConfig) -> None:
        features = catalog_features(config.text.title_grains, config.input.vector_width)
        self._writers = {feature.name: FeatureWriter(feature.name, feature.dtype) for feature in features}
        self._columns = [name for name, _ in EncodedItem.columns(config.text.title_grains, config.input.vector_width)]

    def __call__(self, counted: CountedItem, encoded: EncodedItem) -> bytes:
        """The example."""
        item = counted.item
        raw = {"title": item.title, "brand_name": item.brand, "shop_name": item.shop}
        raw |= {"leaf_name": item.leaf, "top_name": item.top, "description": item.description}
        contents = {name: example_proto.strings([value.encode()]) for name, value in raw.items()}
        contents |= {"count": example_proto.varint(counted.positives), PRICE_VALUE: example_proto.floats([item.price])}
        contents |= dict(zip(self._columns, encoded.contents, strict=True))
        known = sorted(contents.keys() & self._writers.keys())
        return example_proto.example(self._writers[name](contents[name]) for name in known)
