"""Requests made of the catalogue, batch by batch: words of an item's texts ask, and the item is what was clicked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow as tf

from preprocessing.data.spec import asked_by_people
from preprocessing.text.item_queries import DRAWS, MOMENTS, TEXTS, asked, moments_of, texts_of
from preprocessing.text.vocabulary_files import Vocabularies
from trainer.data.dataset import Features, select

_QUERY = "query_"
_CLICKED = "clicked_"
_RAW = {"item_id", "brand_name", *TEXTS}


class CatalogRequests:
    """Makes requests that look as if records held them: no user, no past, one clicked item.

    Args:
      data_dir: the folder of `preprocessing.pipeline`; queries are encoded by its vocabularies.
      spec: its spec.
      names: the features of requests to make.
      seed: decides, with a request's place in the stream, what is asked.
    """

    def __init__(self, data_dir: str, spec: Mapping[str, Any], names: Collection[str], seed: int) -> None:
        self._names = frozenset(names)
        self._seed = seed
        # Of a catalogue alone, the items that validation and evaluation ask for ask for nothing here.
        self._until = MOMENTS if asked_by_people(spec) else spec["validation_from_ms"]
        self._nothing = {
            name: one for name, one in select(spec["requests"], names).items() if isinstance(one, tf.io.RaggedFeature)
        }
        self._grains = [name.removeprefix(_QUERY) for name in sorted(names) if name.startswith(_QUERY)]
        self._vocabularies = Vocabularies(f"{data_dir}/vocab", spec, self._grains)
        known = {feature["name"] for feature in spec["catalog"]}
        clicked = {name.removeprefix(_CLICKED) for name in names if name.startswith(_CLICKED)}
        self._clicked = sorted(clicked & known)
        self.item_spec = select(spec["catalog"], {*self._clicked, *_RAW})

    def __call__(self, places: tf.Tensor, step_size: int, items: Features) -> Features:
        """The requests for the items `[n]` at some places `[n]` of their stream, all of one step."""
        draws = tf.random.stateless_uniform(
            [step_size, DRAWS], tf.stack([tf.constant(self._seed, tf.int64), places[0] // step_size])
        )
        queries = asked(texts_of(items), tf.gather(draws, places % step_size))
        queries = tf.where(moments_of(items["item_id"]) < self._until, queries, "")
        made = tf.io.parse_example(tf.fill(tf.shape(queries), ""), self._nothing)
        made |= {name: value for name, value in _head(queries, items["item_id"]).items() if name in self._names}
        made |= self._encoded(queries)
        # An item that asks for nothing, as one without a word, is nobody's positive.
        made |= {f"{_CLICKED}{name}": _one_each(items[name], queries != "") for name in self._clicked}
        nowhere = tf.zeros(tf.shape(queries), tf.int64)  # on no page
        return made | {name: _one_each(nowhere, queries != "") for name in self._names & {f"{_CLICKED}position"}}

    def _encoded(self, queries: tf.Tensor) -> Features:
        grains = self._vocabularies.analyse(queries, self._grains)
        return {
            f"{_QUERY}{name}": grams.with_values(self._vocabularies.ids(name, grams.values))
            for name, grams in grains.items()
        }


def request_names(item_ids: tf.Tensor) -> tf.Tensor:
    """What stands for the ids of such requests."""
    return tf.strings.join(["catalog request for ", item_ids])


def _head(queries: tf.Tensor, item_ids: tf.Tensor) -> Features:
    return {
        "request_id": request_names(item_ids),
        "user_id": tf.zeros_like(queries),
        "query": queries,
        "ts": tf.zeros(tf.shape(queries), tf.int64),
    }


def _one_each(values: Any, there: tf.Tensor) -> tf.RaggedTensor:
    """Rows `[n, ...]` as lists of one, or of none where nothing is there: `[n, (0 or 1), ...]`."""
    mask = tf.ragged.boolean_mask if isinstance(values, tf.RaggedTensor) else tf.boolean_mask
    return tf.RaggedTensor.from_row_lengths(mask(values, there), tf.cast(there, tf.int32), validate=False)


def joined(log: Features, made: Features) -> Features:
    """Requests of the log with made ones behind them."""
    return {name: tf.concat([log[name], made[name]], axis=0) for name in log}


def share_of(made: Features, both: Features, stages: Iterable[str]) -> tf.Tensor:
    """The share of made requests among the positives of `joined` ones, which are the items of `stages`."""
    of_made, of_both = (
        tf.add_n([tf.size(part[f"{stage}_log_prob"].flat_values) for stage in stages]) for part in (made, both)
    )
    return tf.cast(of_made, tf.float32) / tf.cast(tf.maximum(of_both, 1), tf.float32)


def of_mixture(features: Features, share: tf.Tensor, items: int) -> Features:
    """Features with each item's probability to be a positive as it is where a share comes from the whole catalogue."""
    changed = {}
    for name, value in features.items():
        if name.endswith("log_prob"):
            flat = value.flat_values if isinstance(value, tf.RaggedTensor) else value
            mixed = mixed_log_prob(flat, share, items)
            changed[name] = value.with_flat_values(mixed) if isinstance(value, tf.RaggedTensor) else mixed
    return features | changed


def mixed_log_prob(log_prob: tf.Tensor, share: tf.Tensor, items: int) -> tf.Tensor:
    """log((1 - share) * p + share / items) of log p `[...]`: each of `items` asks equally often."""
    return tf.math.log((1 - share) * tf.exp(log_prob) + share / items)
