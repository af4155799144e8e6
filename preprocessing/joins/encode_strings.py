"""TensorFlow inside a Beam worker: one call a batch, the graph built once a process.

The transforms import this file when a worker sets them up, so that building a job needs no TensorFlow.
"""

from __future__ import annotations

import collections
import functools
import gc
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np
import tensorflow as tf

from preprocessing.config import PricesConfig, TextConfig
from preprocessing.data.features import PRICE
from preprocessing.logs.records import Item
from preprocessing.text import analyser, item_queries
from preprocessing.text.price_bands import PriceBands
from preprocessing.text.vocabulary import Lookup, TextEncoder, Vocabulary

gc.freeze()  # what the import of TensorFlow leaves stays: no collection has to look through it again

_BATCH = 8_192  # texts a call: enough to hide the call, few enough to stay small
_STRINGS = [tf.TensorSpec([None], tf.string)]
_PRICES = [tf.TensorSpec([None], tf.float32), *_STRINGS, *_STRINGS]


def _text_batches(texts: Sequence[str]) -> Iterable[tuple[bool, list[int], tf.Tensor]]:
    """Texts in ASCII and others apart, and where each stands: no batch goes the longer way for a few of its texts."""
    in_ascii = [place for place, text in enumerate(texts) if text.isascii()]
    others = [place for place, text in enumerate(texts) if not text.isascii()]
    for plain, alike in ((True, in_ascii), (False, others)):
        for start in range(0, len(alike), _BATCH):
            places = alike[start : start + _BATCH]
            yield plain, places, tf.constant([texts[place] for place in places], tf.string)


@functools.cache
def _counter(config: TextConfig, plain: bool) -> tf.types.experimental.PolymorphicFunction:
    """Texts and their counts -> for each grain the distinct strings and their summed counts."""

    def count(texts: tf.Tensor, counts: tf.Tensor) -> dict[str, tuple[tf.Tensor, tf.Tensor]]:
        summed = {}
        found = analyser.analyse(texts, config.grains, config.max_chars, config.max_words, plain=plain)
        for name, strings in found.items():
            distinct, index = tf.unique(strings.values)
            weights = tf.gather(counts, strings.value_rowids())
            summed[name] = distinct, tf.math.unsorted_segment_sum(weights, index, tf.size(distinct))
        return summed

    return tf.function(count, input_signature=[*_STRINGS, tf.TensorSpec([None], tf.int64)], autograph=False)


def count_grains(counts: Mapping[str, int], grains: Sequence[str], config: TextConfig) -> dict[tuple[str, str], int]:
    """How often each (grain, its text) of `grains` occurs in texts that occur `counts` times."""
    totals: collections.Counter[tuple[str, str]] = collections.Counter()
    weights = np.fromiter(counts.values(), np.int64, len(counts))
    for plain, places, batch in _text_batches(list(counts)):
        found = _counter(config, plain)(batch, tf.constant(weights[places]))
        for name in grains:
            grams, summed = found[name]
            for gram, weight in zip(grams.numpy().tolist(), summed.numpy().tolist(), strict=True):
                totals[name, gram.decode()] += weight
    return dict(totals)


@functools.cache
def _asker(seed: int) -> tf.types.experimental.PolymorphicFunction:
    """Items' ids and texts -> what is asked for each, "" where it has no word, and at which moment."""

    def ask(items: dict[str, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
        drawn = item_queries.draws_of(items["item_id"], seed)
        return item_queries.asked(item_queries.texts_of(items), drawn), item_queries.moments_of(items["item_id"])

    signature = {name: tf.TensorSpec([None], tf.string) for name in ("item_id", "brand_name", *item_queries.TEXTS)}
    return tf.function(ask, input_signature=[signature], autograph=False)


def queries_of(items: Sequence[Item], seed: int) -> Iterator[tuple[str, int]]:
    """For each item a query made of its words, "" where it has none, and the moment at which it is asked."""
    for start in range(0, len(items), _BATCH):
        batch = items[start : start + _BATCH]
        texts = {
            "item_id": [item.item_id for item in batch],
            "brand_name": [item.brand for item in batch],
            "title": [item.title for item in batch],
            "leaf_name": [item.leaf for item in batch],
            "description": [item.description for item in batch],
        }
        queries, moments = _asker(seed)({name: tf.constant(values, tf.string) for name, values in texts.items()})
        yield from zip((query.decode() for query in queries.numpy()), moments.numpy().tolist(), strict=True)


class Encoder:
    """Strings to ids, in batches; the tables of attributes and prices are built when one is first asked for."""

    def __init__(
        self, vocabularies: Mapping[str, Vocabulary], config: TextConfig, bands: Callable[[], PriceBands]
    ) -> None:
        grains: dict[str, Vocabulary] = {name: vocabularies[name] for name in config.grains}
        encode = TextEncoder(grains, config.max_chars, config.max_words)
        self._encode = {
            plain: tf.function(functools.partial(encode, plain=plain), input_signature=_STRINGS, autograph=False)
            for plain in (True, False)
        }
        self._lookup = functools.cache(lambda name: Lookup(vocabularies[name], name))
        self._bands = functools.cache(lambda: tf.function(bands(), input_signature=_PRICES, autograph=False))

    @classmethod
    def of(
        cls,
        tables: Mapping[str, Sequence[str]],
        hash_buckets: Mapping[str, int],
        config: TextConfig,
        prices: PricesConfig,
    ) -> Encoder:
        """From each vocabulary's words, one that the log gave no word is hash buckets alone; and the medians."""
        vocabularies = {name: Vocabulary(tables.get(name, ()), buckets) for name, buckets in hash_buckets.items()}
        return cls(vocabularies, config, lambda: PriceBands.of_lines(tables[PRICE], prices.bands, prices.ratio))

    def texts(self, texts: Sequence[str], grains: Sequence[str]) -> list[tuple[list[int], ...]]:
        """For each text the ids of each of `grains`."""
        rows: list[tuple[list[int], ...]] = [()] * len(texts)
        for plain, places, batch in _text_batches(texts):
            found = self._encode[plain](batch)
            for place, row in zip(places, zip(*(_rows(found[grain]) for grain in grains), strict=True), strict=True):
                rows[place] = row
        return rows

    def ids(self, attribute: str, values: Sequence[str]) -> list[int]:
        """The ids of items, brands, shops, leaves or tops."""
        lookup = self._lookup(attribute)
        starts = range(0, len(values), _BATCH)
        batches = (tf.constant(values[start : start + _BATCH], tf.string) for start in starts)
        return [key for batch in batches for key in lookup(batch).numpy().tolist()]

    def price_bands(self, priced: Sequence[tuple[float, str, str]]) -> list[int]:
        """The bands of items, each with its price, leaf and top."""
        prices, leaves, tops = zip(*priced, strict=True) if priced else ((), (), ())
        tensors = map(tf.constant, (prices, leaves, tops), (tf.float32, tf.string, tf.string))
        return self._bands()(*tensors).numpy().tolist()


def _rows(ragged: tf.RaggedTensor) -> list[list[int]]:
    splits = ragged.row_splits.numpy().tolist()
    values = ragged.values.numpy().tolist()
    return [values[start:end] for start, end in itertools.pairwise(splits)]
