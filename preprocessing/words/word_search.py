"""BM25 in the graph: from the words of queries to the items that have them, best first.

Of each word's list at most the best BEST postings are read, so that a query's cost does not grow with the catalogue.
What is read is estimated: words with short lists are added up by row, words with long ones are looked up in filters.
The best by estimate are then scored exactly, from the words of the items themselves. Requests are searched together,
piece by piece, so that what they hold is bounded, however many there are.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from preprocessing.words.asked_words import AskedWords, KnownWords, by_request
from preprocessing.words.corrections import Corrections
from preprocessing.words.expansion import Expanded, Expansion
from preprocessing.words.item_words import word_hashes
from preprocessing.words.lists_in_graph import ListsInGraph, flat
from preprocessing.words.word_lists import NO_TERM, terms_of

MAX_WORDS = 16  # of a query; further ones are not looked for
NO_SCORE = -float("inf")
_SPARE = 100  # more are scored exactly than are wanted, since an estimate may be wrong
_LAST_ROW = 2**31 - 1
_TOGETHER = 8  # requests, so that what is read for them mostly fits into a core's cache
Candidates = tuple[tf.Tensor, tf.Tensor]  # scores float32 [B, width], rows int32; NO_SCORE and -1 where there is none


class Kept(NamedTuple):
    """Which items may be found."""

    some: tf.Tensor  # bool scalar: all may, where it is false
    which: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]  # int32 [n] rising requests, rows -> bool [n]


class _Held(NamedTuple):
    """P terms of items, for each of B requests."""

    items: tf.Tensor  # int32 [B, P], numbers of the items, -1 for none
    terms: tf.Tensor  # int32 or int64 [B, P]
    impacts: tf.Tensor  # uint8 [B, P]


class WordSearch(tf.Module):
    """Searches a catalogue's lists.

    Of what a word or a phrase may stand for counts what says the most of an item, as in Lucene's SynonymQuery.
    """

    def __init__(
        self, lists: ListsInGraph, expansion: Expansion | None = None, corrections: Corrections | None = None
    ) -> None:
        super().__init__(name="word_search")
        self.lists, self.expansion, self.corrections = lists, expansion, corrections
        self._kinds = ("word", "described") if lists.has_descriptions else ("word",)  # of terms that a word stands for
        self._alternatives = expansion.alternatives if expansion else 1  # of a place, at most
        self._reads_all = not lists.first and self._alternatives == 1  # then what is read is the score
        self._row_bits = max(lists.items - 1, 1).bit_length()  # of a request and a row in one int32

    def asked(self, words: tf.RaggedTensor) -> AskedWords:
        """The terms of queries' words, strings `[B, (w)]`."""
        spelled = words.to_tensor("", shape=[None, MAX_WORDS])
        hashes = tf.where(spelled == "", tf.constant(NO_TERM, tf.int64), word_hashes(spelled))
        places = tf.broadcast_to(self._alternatives * tf.range(MAX_WORDS), tf.shape(hashes))
        expanded = self.expansion(spelled, hashes) if self.expansion else Expanded(hashes, places)
        found, alternatives = expanded
        if self.corrections:
            # What a rule has replaced need not be known.
            still = tf.reduce_any(hashes[:, :, None] == found[:, None, :], axis=2) if self.expansion else True
            unheard = ~self._heard(hashes) & (hashes != NO_TERM) & still
            meant = self.corrections(spelled, unheard)
            found = tf.concat([found, meant], axis=1)
            alternatives = tf.concat([alternatives, places[:, : tf.shape(meant)[1]]], axis=1)
        terms = tf.concat([_terms(kind, found) for kind in self._kinds], axis=1)
        return self._weighed(terms, tf.concat([alternatives] * len(self._kinds), axis=1))

    def _heard(self, hashes: tf.Tensor) -> tf.Tensor:
        """Which words some item has, by their hashes int64 `[B, T]`."""
        return tf.reduce_any([self.lists.numbers(_terms(kind, hashes)) != NO_TERM for kind in self._kinds], axis=0)

    def _weighed(self, terms: tf.Tensor, alternatives: tf.Tensor) -> AskedWords:
        """Terms int64 `[B, T]`, NO_TERM for none, as they are looked for."""
        numbers, weights = self.lists.numbers(terms), self.lists.weights.read_value()
        unheard = tf.where(terms == NO_TERM, 0.0, weights[-1])
        known = tf.gather(weights, tf.maximum(numbers, 0))
        return AskedWords(terms, numbers, tf.where(numbers == NO_TERM, unheard, known), alternatives)

    def search(self, asked: AskedWords, width: tf.Tensor, kept: Kept | None = None) -> Candidates:
        """The `width` best of each request, `[B, width]`, at least 1; of equal ones the earlier row first.

        `kept` says which items may be found.
        """
        together = min(_TOGETHER, 2 ** (31 - self._row_bits))

        def step(first: tf.Tensor, best: Candidates) -> Candidates:
            found = self._best(asked.part(first, first + together), first, width, kept)
            return tuple(tf.concat(pair, axis=0) for pair in zip(best, found, strict=True))

        nothing = tf.zeros([0, width]), tf.zeros([0, width], tf.int32)
        return lazy_loop(tf.shape(asked.numbers)[0], together, step, nothing, (tf.TensorShape([None, None]),) * 2)

    def _best(self, asked: AskedWords, first: tf.Tensor, width: tf.Tensor, kept: Kept | None) -> Candidates:
        """The same of some requests, which begin at `first`."""
        known = KnownWords.of(asked)
        places, scores = self._read(known)
        requests = tf.bitwise.right_shift(places, self._row_bits)
        if kept is not None:
            scores = lazy_cond(
                kept.some,
                lambda: tf.where(kept.which(first + requests, self._row(places)), scores, NO_SCORE),
                lambda: tf.identity(scores),
            )
        if self._reads_all:
            order = by_request(_order_of(scores, places), requests, known.count, 0)
        else:
            places, scores = (
                by_request(one, requests, known.count, nothing) for one, nothing in ((places, 0), (scores, NO_SCORE))
            )
            scores += self._of_long_words(known, self._row(places))
            rows = self._best_of(_order_of(scores, places), width + _SPARE)[1]
            order = _order_of(self._scores(known, rows), rows)
        return _padded(self._best_of(order, width), width)

    def best_among(self, asked: AskedWords, rows: tf.Tensor, width: tf.Tensor) -> Candidates:
        """The same of some rows int32 `[n]`, for one request `[1, T]`: `[1, width]`, each scored exactly."""
        return _padded(self._best_of(_order_of(self.scores_of(asked, rows), rows[None]), width), width)

    def reads_best_alone(self, asked: AskedWords) -> tf.Tensor:
        """Which requests have a term with so long a list that `search` reads but the best of it: bool `[B]`."""
        begins = tf.gather(self.lists.read_begins.read_value(), tf.maximum(asked.numbers, 0))
        return tf.reduce_any((asked.numbers >= 0) & (begins < self.lists.first), axis=1)

    def scores_of(self, asked: AskedWords, rows: tf.Tensor) -> tf.Tensor:
        """Scores of rows int32 `[n]` for one request `[1, T]`: float32 `[1, n]`, 0 for what is no item of the index."""
        return self._scores(KnownWords.of(asked), rows[None])

    def fresh_scores(self, asked: AskedWords, terms: tf.Tensor, impacts: tf.Tensor) -> tf.Tensor:
        """Scores of F fresh items for one request, by terms int64 and impacts uint8 `[F, words]`: float32 `[1, F]`."""
        count, words = tf.unstack(tf.shape(terms))
        items = tf.repeat(tf.range(count), words)
        held = _Held(items[None], *(tf.reshape(one, [1, -1]) for one in (terms, impacts)))
        return self._summed(held, asked.terms, asked.weights, asked.alternatives, count)[None]

    def _scores(self, known: KnownWords, rows: tf.Tensor) -> tf.Tensor:
        """What rows int32 `[B, n]` are worth to their requests: float32 `[B, n]`."""
        lists, items = self.lists, tf.reshape(rows, [-1])
        there, offsets = tf.clip_by_value(items, 0, lists.items - 1), lists.item_offsets.read_value()
        begins, ends = tf.gather(offsets, there), tf.gather(offsets, there + 1)
        places, owners = flat(begins, tf.where(items == there, ends - begins, 0))
        requests = owners // tf.shape(rows)[1]
        places = by_request(places, requests, known.count, 0)
        held = _Held(
            by_request(owners, requests, known.count, -1),
            tf.gather(lists.item_terms.read_value(), places),
            tf.gather(lists.item_impacts.read_value(), places),
        )
        numbers, weights, alternatives = (
            known.by_request(one, nothing)
            for one, nothing in ((known.numbers, NO_TERM), (known.weights, 0), (known.alternatives, 0))
        )
        return tf.reshape(self._summed(held, numbers, weights, alternatives, tf.size(rows)), tf.shape(rows))

    def _summed(
        self, held: _Held, terms: tf.Tensor, weights: tf.Tensor, alternatives: tf.Tensor, count: tf.Tensor
    ) -> tf.Tensor:
        """What terms of requests `[B, T]` are worth in `count` items: of each place the best alternative."""
        alike = held.terms[:, None] == terms[:, :, None]  # [B, T, P], along which memory runs
        impacts = tf.cast(held.impacts, tf.float32)
        if self._alternatives == 1:
            worth = tf.linalg.matvec(tf.cast(alike, tf.float32), weights, transpose_a=True) * impacts
            return tf.math.unsorted_segment_sum(worth, held.items, count)
        worth = tf.where(alike, impacts[:, None] * weights[:, :, None], 0.0)
        each = MAX_WORDS * self._alternatives
        sums = tf.math.unsorted_segment_sum(worth, held.items[:, None] * each + alternatives[:, :, None], count * each)
        of_places = tf.reshape(sums, [count, MAX_WORDS, self._alternatives])
        return tf.reduce_sum(tf.reduce_max(of_places, axis=2), axis=1)

    def _read(self, known: KnownWords) -> tuple[tf.Tensor, tf.Tensor]:
        """What was read for requests, `[n]`: numbers of request and row, and what short lists make of these."""
        lists = self.lists
        begins = tf.gather(lists.read_begins.read_value(), known.numbers)
        read = flat(begins, tf.gather(lists.read_lengths.read_value(), known.numbers))
        impacts = tf.cast(tf.gather(lists.impacts.read_value(), read.places), tf.float32)
        weights = tf.where(begins < lists.first, 0.0, known.weights) if lists.first else known.weights
        asking = tf.gather(tf.bitwise.left_shift(known.requests, self._row_bits), read.owners)
        distinct, places = tf.unique(asking + lists.rows_at(read.places))
        worth = tf.gather(weights, read.owners) * impacts
        return distinct, tf.math.unsorted_segment_sum(worth, places, tf.size(distinct))

    def _of_long_words(self, known: KnownWords, rows: tf.Tensor) -> tf.Tensor:
        """What terms with long lists are worth in their requests' rows `[B, n]`, by estimate."""
        begins = tf.gather(self.lists.read_begins.read_value(), known.numbers)
        places = tf.where(begins < self.lists.first)[:, 0]
        words = known.part(places)
        best = words.by_request(tf.gather(begins, places), 0)
        passed = self.lists.pass_filters(rows, tf.transpose(best))
        weights = tf.transpose(words.by_request(words.weights, 0))[:, :, None]
        once = tf.cast(tf.gather(self.lists.item_once.read_value(), rows), tf.float32)
        return once * tf.reduce_sum(passed * weights, axis=0)

    def _row(self, places: tf.Tensor) -> tf.Tensor:
        return tf.bitwise.bitwise_and(places, 2**self._row_bits - 1)

    def _best_of(self, order: tf.Tensor, count: tf.Tensor) -> Candidates:
        """The `count` best by `_order_of` `[B, n]` of those that score above 0, fewer where no request has as many."""
        best, _ = tf.math.top_k(order, tf.minimum(count, tf.shape(order)[1]))
        found = best >= 2**32
        scores = tf.bitcast(tf.cast(tf.bitwise.right_shift(best, 32), tf.int32), tf.float32)
        rows = self._row(_LAST_ROW - tf.cast(tf.bitwise.bitwise_and(best, _LAST_ROW), tf.int32))
        return tf.where(found, scores, NO_SCORE), tf.where(found, rows, -1)


def _terms(kind: str, hashes: tf.Tensor) -> tf.Tensor:
    return tf.where(hashes == NO_TERM, hashes, terms_of(kind, hashes))


def _order_of(scores: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """One int64 to order rows by: the bits of a score, which order as it does from 0 on, then the row."""
    return tf.bitwise.left_shift(tf.cast(tf.bitcast(scores, tf.int32), tf.int64), 32) + tf.cast(
        _LAST_ROW - rows, tf.int64
    )


def _padded(found: Candidates, width: tf.Tensor) -> Candidates:
    """What was found, `[B, width]`."""
    scores, rows = found
    missing = [[0, 0], [0, width - tf.shape(rows)[1]]]
    return tf.pad(scores, missing, constant_values=NO_SCORE), tf.pad(rows, missing, constant_values=-1)
