"""Synonyms in the graph: the words of a query, and in the place of some what they stand for."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.item_words import word_hashes
from preprocessing.words.synonyms import Synonyms
from preprocessing.words.word_lists import NO_TERM


class Expanded(NamedTuple):
    """Of B queries W words each."""

    words: tf.Tensor  # int64 [B, W], hashes, NO_TERM for none
    alternatives: tf.Tensor  # int32 [B, W], which alternative each is of: those of a place one behind the other


class Expansion(tf.Module):
    """Rules, applied from the left, the longest first; what one has replaced no other reads."""

    def __init__(self, synonyms: Synonyms) -> None:
        super().__init__(name="expansion")
        self.alternatives, self._longest = synonyms.alternatives, synonyms.longest
        self.keys = tf.Variable(synonyms.keys, trainable=False, name="keys")
        self.words = tf.Variable(synonyms.words, trainable=False, name="words")
        self.alternative_of = tf.Variable(synonyms.alternative_of, trainable=False, name="alternative_of")

    def __call__(self, words: tf.Tensor, hashes: tf.Tensor) -> Expanded:
        """Strings `[B, P]`, "" behind, and their hashes int64, NO_TERM behind."""
        rules, lengths = self._rules(words)
        places = self.alternatives * tf.range(tf.shape(words)[1])
        return lazy_cond(
            tf.reduce_any(lengths > 0),
            lambda: self._replaced(hashes, rules, lengths, places),
            lambda: Expanded(hashes, tf.broadcast_to(places, tf.shape(hashes))),
        )

    def _rules(self, words: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """The longest rule that begins at each place: its number and how many words it replaces, 0 for none."""
        keys, phrase, after = self.keys.read_value(), words, words
        rules, lengths = tf.zeros_like(words, tf.int32), tf.zeros_like(words, tf.int32)
        for length in range(1, self._longest + 1):
            if length > 1:
                after = tf.pad(after[:, 1:], [[0, 0], [0, 1]])
                phrase = tf.strings.join([phrase, after], " ")
            hashes = word_hashes(phrase)
            numbers = tf.reshape(tf.searchsorted(keys, tf.reshape(hashes, [-1])), tf.shape(words))
            found = (tf.gather(keys, numbers) == hashes) & (after != "")
            rules, lengths = tf.where(found, numbers, rules), tf.where(found, length, lengths)
        return rules, lengths

    def _replaced(self, hashes: tf.Tensor, rules: tf.Tensor, lengths: tf.Tensor, places: tf.Tensor) -> Expanded:
        taken, replaced = self._taken(lengths)
        new = tf.where(taken[:, :, None], tf.gather(self.words.read_value(), rules), NO_TERM)
        own = tf.where(replaced, NO_TERM, hashes)[:, :, None]
        of_rules = tf.gather(self.alternative_of.read_value(), rules) + places[:, None]
        own_places = tf.broadcast_to(places[:, None], tf.shape(own))
        flat = [tf.shape(hashes)[0], -1]
        return Expanded(
            tf.reshape(tf.concat([own, new], axis=2), flat),
            tf.reshape(tf.concat([own_places, of_rules], axis=2), flat),
        )

    def _taken(self, lengths: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """At which places `[B, P]` a rule is applied, and which a rule has replaced."""
        if self._longest == 1:
            return lengths > 0, lengths > 0
        numbers = tf.range(tf.shape(lengths)[1])

        def step(place: tf.Tensor, state: tuple[tf.Tensor, tf.Tensor]) -> tuple[tf.Tensor, tf.Tensor]:
            ends, taken = state
            here = (ends <= place) & (lengths[:, place] > 0)
            ends = tf.where(here, place + lengths[:, place], ends)
            return ends, taken | (here[:, None] & (numbers == place))

        start = tf.zeros_like(lengths[:, 0]), tf.zeros_like(lengths, tf.bool)
        _, taken = lazy_loop(tf.shape(lengths)[1], 1, step, start)
        reach = tf.where(taken, numbers + lengths, 0)
        return taken, _running_maximum(reach) > numbers


def _running_maximum(values: tf.Tensor) -> tf.Tensor:
    """The largest of int32 `[B, P]` so far."""
    before = tf.linalg.band_part(tf.ones_like(values[:1, :, None] * values[:1, None, :]), 0, -1) > 0
    return tf.reduce_max(tf.where(before, values[:, :, None], 0), axis=1)
