"""Requests made of the catalogue: neighbouring words of an item's texts ask, and the item is what was clicked."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

import tensorflow as tf

from preprocessing.text.vocabulary_files import Vocabularies
from trainer.data.dataset import Features, select

LONGEST = 3  # words of a query
_QUERY = "query_"
_CLICKED = "clicked_"
# The title twice: what a shop's people search is nearer to it than to what was written to sell.
_TEXTS = ("title", "title", "leaf_name", "description")
_RAW = {"item_id", "brand_name", *_TEXTS}
_MARK = "\x1f"


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
            [step_size, len(_TEXTS) + 2], tf.stack([tf.constant(self._seed, tf.int64), places[0] // step_size])
        )
        queries = asked(texts_of(items), tf.gather(draws, places % step_size))
        made = tf.io.parse_example(tf.fill(tf.shape(queries), ""), self._nothing)
        made |= {name: value for name, value in _head(queries, items["item_id"]).items() if name in self._names}
        made |= self._encoded(queries)
        # An item without a word asks for nothing: it is nobody's positive.
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


def texts_of(items: Features) -> tf.Tensor:
    """`[n, texts]`: what may be asked for items by; the brand stands in front of a title."""
    titled = tf.strings.join([items["brand_name"], items["title"]], separator=" ")
    own = {**items, "title": tf.strings.strip(titled)}
    return tf.stack([own[name] for name in _TEXTS], axis=1)


def asked(texts: tf.Tensor, draws: tf.Tensor) -> tf.Tensor:
    """One to three neighbouring words of one of each item's texts.

    Args:
      texts: `[n, t]`; one that is empty is not chosen.
      draws: `[n, t + 2]` in [0, 1): the largest of a row chooses the text, then come the length and the first word.

    Returns:
      `[n]`, empty where no text holds a word.
    """
    chosen = tf.argmax(tf.where(texts == "", -1.0, draws[:, :-2]), axis=1)
    words = split_words(tf.gather(texts, chosen, batch_dims=1))
    counts = words.row_lengths()
    lengths = tf.minimum(1 + _below(draws[:, -2], LONGEST * tf.ones_like(counts)), counts)
    begin = words.row_starts() + _below(draws[:, -1], counts - lengths + 1)
    places = tf.ragged.range(begin, begin + lengths)
    return tf.strings.strip(tf.strings.reduce_join(tf.gather(words.values, places), axis=1))


def _below(draws: tf.Tensor, bounds: tf.Tensor) -> tf.Tensor:
    """Draws in [0, 1) as whole numbers below bounds."""
    return tf.cast(draws * tf.cast(bounds, draws.dtype), bounds.dtype)


def split_words(texts: tf.Tensor) -> tf.RaggedTensor:
    """The words of texts `[n]`, each with the space behind it, so that neighbours joined are as they were written."""
    spaced = tf.strings.regex_replace(texts, r"[^\pL\pM\pN\p{So}]+", f" {_MARK}")
    alone = r"([\p{Han}\p{So}] ?)"  # each is a word, as the analyser has it
    cut = tf.strings.regex_replace(spaced, alone, rf"{_MARK}\1{_MARK}")
    words = tf.strings.split(cut, _MARK)
    return tf.ragged.boolean_mask(words, words.with_values(tf.strings.strip(words.values) != ""))


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
