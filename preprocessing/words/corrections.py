"""Words that a catalogue does not have, to the nearest that it has: by pairs of characters, then by edits."""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.item_words import word_hashes
from preprocessing.words.lists_in_graph import flat
from preprocessing.words.word_lists import NO_TERM, terms_of

_SHORTEST, _LONG = 4, 6  # characters: of a word that is corrected, and of one that may be wrong twice
_CANDIDATES = 32  # words whose edits are counted
_NO_DIGIT = re.compile(r"\D+")  # a number is not the next number misspelt


class Spellings(NamedTuple):
    """V words, and for each pair of characters, the ends of a word among them, the words that have it."""

    words: np.ndarray  # object [V], bytes
    lengths: np.ndarray  # float32 [V], how many different pairs each has
    rarities: np.ndarray  # float32 [V], below 1: of two words equally near the more frequent is meant
    pairs: np.ndarray  # int64 [P + 1], rising, hashes; the last is of no pair
    offsets: np.ndarray  # int32 [P + 2], where each pair's words begin
    having: np.ndarray  # int32, their numbers


def build_spellings(spellings: Collection[bytes], known: np.ndarray, weights: np.ndarray) -> Spellings:
    """The words of titles and brands that a correction may lead to.

    Args:
      spellings: all words.
      known: int64, the rising terms of a catalogue.
      weights: of those that are words, as `WordLists` has them.
    """
    words = np.array(sorted(one for one in spellings if _may_be_meant(one)), object)
    terms = terms_of("word", word_hashes(tf.constant(words.tolist(), tf.string)).numpy())
    places = np.searchsorted(known, terms)
    found = known[places] == terms
    words, rarities = words[found], weights[places[found]]
    pairs_of = [_pairs_of(one.decode()) for one in words.tolist()]
    numbers: dict[str, int] = {}
    flat_pairs = np.array([numbers.setdefault(pair, len(numbers)) for one in pairs_of for pair in one], np.int64)
    hashes = word_hashes(tf.constant(list(numbers), tf.string)).numpy()
    lengths = np.array([len(one) for one in pairs_of], np.int64)
    order = np.argsort(hashes[flat_pairs], kind="stable")
    pairs, counts = np.unique(hashes[flat_pairs], return_counts=True)
    offsets = np.concatenate([[0], np.cumsum(counts), [len(order)]]).astype(np.int32)
    having = np.repeat(np.arange(len(words), dtype=np.int32), lengths)[order]
    return Spellings(words, lengths.astype(np.float32), rarities, np.append(pairs, 2**63 - 1), offsets, having)


def _may_be_meant(word: bytes) -> bool:
    text = word.decode()
    return len(text) >= _SHORTEST - 1 and _NO_DIGIT.fullmatch(text) is not None


def _pairs_of(word: str) -> set[str]:
    marked = f"\n{word}\n"
    return {first + second for first, second in itertools.pairwise(marked)}


class Corrections(tf.Module):
    """Looks for what was meant."""

    def __init__(self, spellings: Spellings) -> None:
        super().__init__(name="corrections")
        self.words = tf.Variable(spellings.words, trainable=False, dtype=tf.string, name="words")
        self.lengths = tf.Variable(spellings.lengths, trainable=False, name="lengths")
        self.rarities = tf.Variable(spellings.rarities, trainable=False, name="rarities")
        self.pairs = tf.Variable(spellings.pairs, trainable=False, name="pairs")
        self.offsets = tf.Variable(spellings.offsets, trainable=False, name="offsets")
        self.having = tf.Variable(spellings.having, trainable=False, name="having")

    def __call__(self, words: tf.Tensor, unheard: tf.Tensor) -> tf.Tensor:
        """Strings `[B, P]` and which of them are to be corrected -> hashes int64 `[B, P]`, NO_TERM for none."""
        nothing = tf.fill(tf.shape(words), tf.constant(NO_TERM, tf.int64))
        return lazy_cond(tf.reduce_any(unheard), lambda: self._all(words, unheard, nothing), lambda: nothing)

    def _all(self, words: tf.Tensor, unheard: tf.Tensor, nothing: tf.Tensor) -> tf.Tensor:
        spelt_right = tf.strings.regex_full_match(words, r"\PN+")
        places = tf.where(unheard & (tf.strings.length(words, "UTF8_CHAR") >= _SHORTEST) & spelt_right)

        def step(number: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
            place = places[number]
            return tf.tensor_scatter_nd_update(found, [place], [self._nearest(tf.gather_nd(words, place))])

        return lazy_loop(tf.shape(places)[0], 1, step, nothing)

    def _nearest(self, word: tf.Tensor) -> tf.Tensor:
        """The hash of the nearest word to a string scalar, NO_TERM where none is near."""
        letters = tf.strings.unicode_split(word, "UTF-8")
        numbers, alike = self._with_its_pairs(letters)
        places = tf.math.top_k(alike, tf.minimum(_CANDIDATES, tf.size(alike))).indices
        numbers = tf.gather(numbers, places)
        # Edits of nothing at all cannot be counted: behind the candidates stands "".
        candidates = tf.concat([tf.gather(self.words.read_value(), numbers), [""]], axis=0)
        others = tf.strings.unicode_split(candidates, "UTF-8").to_sparse()
        copies = tf.tile(letters, [tf.size(candidates)])
        mine = tf.RaggedTensor.from_uniform_row_length(copies, tf.size(letters), validate=False).to_sparse()
        edits = tf.edit_distance(_as_wide(mine, others), _as_wide(others, mine), normalize=False)
        apart = edits + tf.concat([tf.gather(self.rarities.read_value(), numbers), [float("inf")]], axis=0)
        nearest = tf.argmin(apart)
        near = tf.gather(apart, nearest) < tf.where(tf.size(letters) >= _LONG, 3.0, 2.0)  # rarities are below 1
        return tf.where(near, word_hashes(tf.gather(candidates, nearest)), NO_TERM)

    def _with_its_pairs(self, letters: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Words that share pairs with one of these letters: their numbers, and how alike they are (Dice)."""
        marked = tf.concat([["\n"], letters, ["\n"]], axis=0)
        pairs = tf.unique(word_hashes(tf.strings.join([marked[:-1], marked[1:]]))).y
        known, offsets = self.pairs.read_value(), self.offsets.read_value()
        places = tf.searchsorted(known, pairs)
        begins = tf.gather(offsets, places)
        lengths = tf.where(tf.gather(known, places) == pairs, tf.gather(offsets, places + 1) - begins, 0)
        numbers, _, shared = tf.unique_with_counts(tf.gather(self.having.read_value(), flat(begins, lengths).places))
        together = tf.gather(self.lengths.read_value(), numbers) + tf.cast(tf.size(pairs), tf.float32)
        return numbers, 2 * tf.cast(shared, tf.float32) / together


def _as_wide(letters: tf.SparseTensor, others: tf.SparseTensor) -> tf.SparseTensor:
    """Letters `[n, width]` in the shape that holds the others, too."""
    shape = tf.maximum(letters.dense_shape, others.dense_shape)
    return tf.SparseTensor(letters.indices, letters.values, shape)
