"""Words that a catalogue does not have, to the nearest that it has: by pairs of characters, then by edits.

Characters are their code points; those of a pair stand side by side in one number.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Collection
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.asked_words import by_request
from preprocessing.words.item_words import word_hashes
from preprocessing.words.lists_in_graph import flat, lower_bounds
from preprocessing.words.word_lists import NO_TERM, terms_of

_SHORTEST, _LONG = 4, 6  # characters: of a word that is corrected, and of one that may be wrong twice
_CANDIDATES = 32  # words whose edits are counted
_TOGETHER = 64  # words that are corrected at once
_END = "\n"  # stands before a word and behind it
_BITS = 21  # of a code point
_PAIR = 2 * _BITS  # bits
_LONGEST = 2**20  # characters of a word, at least as many as there are
_NO_DIGIT = re.compile(r"\D+")  # a number is not the next number misspelt


class Spellings(NamedTuple):
    """V words and none, and for each pair of characters, the ends of a word among them, the words that have it."""

    hashes: np.ndarray  # int64 [V + 1], the last is NO_TERM
    rarities: np.ndarray  # float32 [V + 1], below 1, the last infinite: of two equally near the more frequent is meant
    lengths: np.ndarray  # float32 [V + 1], how many different pairs each has
    letters: np.ndarray  # int32, one word behind the other
    ends: np.ndarray  # int32 [V + 2], where each word's letters begin
    pairs: np.ndarray  # int64 [P + 1], rising; the last is of no word
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
    hashes = word_hashes(tf.constant(words.tolist(), tf.string)).numpy()
    terms = terms_of("word", hashes)
    places = np.searchsorted(known, terms)
    found = known[places] == terms
    letters = [[ord(one) for one in word.decode()] for word in words[found].tolist()]
    pairs_of = [_pairs_of(one) for one in letters]
    lengths, counts = (np.array([len(one) for one in all_of], np.int64) for all_of in (letters, pairs_of))
    pairs = np.array([pair for one in pairs_of for pair in one], np.int64)
    order = np.argsort(pairs, kind="stable")
    distinct, having = np.unique(pairs, return_counts=True)
    return Spellings(
        np.append(hashes[found], NO_TERM),
        np.append(weights[places[found]], np.inf).astype(np.float32),
        np.append(counts, 0).astype(np.float32),
        np.array([letter for one in letters for letter in one], np.int32),
        np.cumsum([0, *lengths, 0]).astype(np.int32),
        np.append(distinct, 2**63 - 1),
        np.cumsum([0, *having, 0]).astype(np.int32),
        np.repeat(np.arange(len(counts), dtype=np.int32), counts)[order],
    )


def _may_be_meant(word: bytes) -> bool:
    text = word.decode()
    return len(text) >= _SHORTEST - 1 and _NO_DIGIT.fullmatch(text) is not None


def _pairs_of(letters: list[int]) -> set[int]:
    marked = [ord(_END), *letters, ord(_END)]
    return {first << _BITS | second for first, second in itertools.pairwise(marked)}


class Corrections(tf.Module):
    """Looks for what was meant."""

    hashes: tf.Variable
    rarities: tf.Variable
    lengths: tf.Variable
    letters: tf.Variable
    ends: tf.Variable
    pairs: tf.Variable
    offsets: tf.Variable
    having: tf.Variable

    def __init__(self, spellings: Spellings) -> None:
        super().__init__(name="corrections")
        for part, value in spellings._asdict().items():
            setattr(self, part, tf.Variable(value, trainable=False, dtype=value.dtype, name=part))
        self.none = len(spellings.hashes) - 1  # the number of no word

    def __call__(self, words: tf.Tensor, unheard: tf.Tensor) -> tf.Tensor:
        """Strings `[B, P]` and which of them are to be corrected -> hashes int64 `[B, P]`, NO_TERM for none.

        Where none is to be corrected, `[B, 0]`.
        """
        none = tf.zeros([tf.shape(words)[0], 0], tf.int64)
        return lazy_cond(tf.reduce_any(unheard), lambda: self._all(words, unheard), lambda: none)

    def _all(self, words: tf.Tensor, unheard: tf.Tensor) -> tf.Tensor:
        spelt_right = tf.strings.regex_full_match(words, r"\PN+")
        places = tf.where(unheard & (tf.strings.length(words, "UTF8_CHAR") >= _SHORTEST) & spelt_right)

        def step(begin: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
            some = places[begin : begin + _TOGETHER]
            return tf.tensor_scatter_nd_update(found, some, self._nearest(tf.gather_nd(words, some)))

        nothing = tf.fill(tf.shape(words), tf.constant(NO_TERM, tf.int64))
        return lazy_loop(tf.shape(places)[0], _TOGETHER, step, nothing)

    def _nearest(self, words: tf.Tensor) -> tf.Tensor:
        """The hashes int64 `[n]` of the words nearest to strings `[n]`, NO_TERM where none is near."""
        marked = tf.strings.unicode_decode(tf.strings.join([_END, words, _END]), "UTF-8")
        candidates = self._candidates(marked)
        lengths = tf.cast(marked.row_lengths(), tf.int32) - 2
        edits = self._edits(marked, lengths, candidates)
        apart = edits + tf.gather(self.rarities.read_value(), candidates)
        nearest = tf.argmin(apart, axis=1)[:, None]
        near = tf.gather(apart, nearest, batch_dims=1)[:, 0] < tf.where(
            lengths >= _LONG, 3.0, 2.0
        )  # rarities are below 1
        meant = tf.gather(candidates, nearest, batch_dims=1)[:, 0]
        return tf.where(near, tf.gather(self.hashes.read_value(), meant), NO_TERM)

    def _candidates(self, marked: tf.RaggedTensor) -> tf.Tensor:
        """Numbers `[n, c]` of the words that share most pairs with letters `[n, (l)]` and their ends (Dice).

        The last is none, as are those behind a word's own.
        """
        count, letters = marked.nrows(tf.int32), tf.cast(marked.values, tf.int64)
        pairs = tf.bitwise.left_shift(letters[:-1], _BITS) + letters[1:]
        inside = pairs != ord(_END) << _BITS | ord(_END)  # not from one word to the next
        rows = tf.bitwise.left_shift(marked.value_rowids()[:-1], _PAIR)
        pairs = tf.unique(tf.boolean_mask(rows + pairs, inside)).y
        rows = tf.cast(tf.bitwise.right_shift(pairs, _PAIR), tf.int32)
        pairs = tf.bitwise.bitwise_and(pairs, 2**_PAIR - 1)
        known, offsets = self.pairs.read_value(), self.offsets.read_value()
        places = lower_bounds(known, pairs)
        begins = tf.gather(offsets, places)
        held = flat(begins, tf.where(tf.gather(known, places) == pairs, tf.gather(offsets, places + 1) - begins, 0))
        numbers = tf.cast(tf.gather(self.having.read_value(), held.places), tf.int64)
        owners = tf.cast(tf.gather(rows, held.owners), tf.int64)
        both, _, shared = tf.unique_with_counts(tf.bitwise.left_shift(owners, 32) + numbers)
        owners = tf.cast(tf.bitwise.right_shift(both, 32), tf.int32)
        numbers = tf.cast(tf.bitwise.bitwise_and(both, 2**32 - 1), tf.int32)
        own = tf.math.unsorted_segment_sum(tf.ones_like(pairs, tf.float32), rows, count)
        together = tf.gather(own, owners) + tf.gather(self.lengths.read_value(), numbers)
        alike = by_request(2 * tf.cast(shared, tf.float32) / together, owners, count, 0)
        numbers = by_request(numbers, owners, count, self.none)
        places = tf.math.top_k(alike, tf.minimum(_CANDIDATES, tf.shape(alike)[1])).indices
        return tf.pad(tf.gather(numbers, places, batch_dims=1), [[0, 0], [0, 1]], constant_values=self.none)

    def _edits(self, marked: tf.RaggedTensor, lengths: tf.Tensor, candidates: tf.Tensor) -> tf.Tensor:
        """How many letters are to be changed from marked words `[n, (l)]` to candidates `[n, c]`: float32 `[n, c]`."""
        begins = tf.cast(marked.row_starts(), tf.int32) + 1
        mine = (tf.reshape(tf.broadcast_to(one[:, None], tf.shape(candidates)), [-1]) for one in (begins, lengths))
        ends, numbers = self.ends.read_value(), tf.reshape(candidates, [-1])
        begins = tf.gather(ends, numbers)
        others = begins, tf.gather(ends, numbers + 1) - begins
        edits = tf.edit_distance(
            _letters(marked.values, *mine), _letters(self.letters.read_value(), *others), normalize=False
        )
        return tf.reshape(edits, tf.shape(candidates))


def _letters(letters: tf.Tensor, begins: tf.Tensor, lengths: tf.Tensor) -> tf.SparseTensor:
    """Pieces of letters, int32 `[n]` words of them: one word a row."""
    held = flat(begins, lengths)
    places = tf.stack([held.owners, held.places - tf.gather(begins, held.owners)], axis=1)
    shape = tf.stack([tf.size(begins, tf.int64), _LONGEST])
    return tf.SparseTensor(tf.cast(places, tf.int64), tf.gather(letters, held.places), shape)
