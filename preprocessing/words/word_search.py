"""BM25 in the graph: from the words of a query to the items that have them, best first.

Of each word's list at most the best BEST postings are read, so that a query's cost does not grow with the catalogue.
What is read is estimated: words with short lists are added up by row, words with long ones are looked up in filters.
The best by estimate are then scored exactly, from the words of the items themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from preprocessing.text.branches import lazy_loop
from preprocessing.words.corrections import Corrections
from preprocessing.words.expansion import Expanded, Expansion
from preprocessing.words.item_words import word_hashes
from preprocessing.words.lists_in_graph import ListsInGraph, flat
from preprocessing.words.word_lists import NO_TERM, terms_of

MAX_WORDS = 16  # of a query; further ones are not looked for
NO_SCORE = -float("inf")
_SPARE = 100  # more are scored exactly than are wanted, since an estimate may be wrong
_LAST_ROW = 2**31 - 1
Keep = Callable[[tf.Tensor], tf.Tensor]  # rows int32 [n] -> which of them may be found, bool [n]
Candidates = tuple[tf.Tensor, tf.Tensor]  # scores float32 [..., width], rows int32; NO_SCORE and -1 where there is none


class AskedWords(NamedTuple):
    """Of B requests T terms each, or of one without the first axis."""

    terms: tf.Tensor  # int64 [B, T], NO_TERM for none
    numbers: tf.Tensor  # int32 [B, T], NO_TERM also for what no item of the index has
    weights: tf.Tensor  # float32 [B, T]
    alternatives: tf.Tensor  # int32 [B, T], which alternative each is of: those of a place one behind the other

    def of(self, request: tf.Tensor) -> AskedWords:
        """One of them."""
        return AskedWords(*(one[request] for one in self))


class WordSearch(tf.Module):
    """Searches a catalogue's lists.

    Of what a word or a phrase may stand for counts what says the most of an item, as in Lucene's SynonymQuery.
    """

    def __init__(
        self, lists: ListsInGraph, expansion: Expansion | None = None, corrections: Corrections | None = None
    ) -> None:
        super().__init__(name="word_search")
        self.lists, self.expansion, self.corrections = lists, expansion, corrections
        self._alternatives = expansion.alternatives if expansion else 1  # of a place, at most
        self._reads_all = not lists.first and self._alternatives == 1  # then what is read is the score

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
            found = tf.concat([found, self.corrections(spelled, unheard)], axis=1)
            alternatives = tf.concat([alternatives, places], axis=1)
        if self.lists.has_descriptions:
            terms = tf.concat([_terms(kind, found) for kind in ("word", "described")], axis=1)
            return self._weighed(terms, tf.concat([alternatives] * 2, axis=1))
        return self._weighed(_terms("word", found), alternatives)

    def _heard(self, hashes: tf.Tensor) -> tf.Tensor:
        """Which words some item has, by their hashes int64 `[B, T]`."""
        kinds = ("word", "described") if self.lists.has_descriptions else ("word",)
        return tf.reduce_any([self.lists.numbers(_terms(kind, hashes)) != NO_TERM for kind in kinds], axis=0)

    def _weighed(self, terms: tf.Tensor, alternatives: tf.Tensor) -> AskedWords:
        """Terms int64 `[B, T]`, NO_TERM for none, as they are looked for."""
        numbers, weights = self.lists.numbers(terms), self.lists.weights.read_value()
        unheard = tf.where(terms == NO_TERM, 0.0, weights[-1])
        known = tf.gather(weights, tf.maximum(numbers, 0))
        return AskedWords(terms, numbers, tf.where(numbers == NO_TERM, unheard, known), alternatives)

    def search(self, asked: AskedWords, width: tf.Tensor, keep: Keep | None = None) -> Candidates:
        """The `width` best of each request, `[B, width]`, at least 1; of equal ones the earlier row first."""

        def step(request: tf.Tensor, best: Candidates) -> Candidates:
            found = self.best(asked.of(request), width, keep)
            scores, rows = (
                tf.tensor_scatter_nd_update(all_of, [[request]], one[None])
                for all_of, one in zip(best, found, strict=True)
            )
            return scores, rows

        requests = tf.shape(asked.numbers)[0]
        nothing = tf.fill([requests, width], NO_SCORE), tf.fill([requests, width], -1)
        return lazy_loop(requests, 1, step, nothing)

    def best(self, asked: AskedWords, width: tf.Tensor, keep: Keep | None = None) -> Candidates:
        """The same of one request, `[width]`; `keep` says which items may be found."""
        asked = _known(asked)
        rows, scores = self._read(asked)
        if keep is not None:
            scores = tf.where(keep(rows), scores, NO_SCORE)
        if not self._reads_all:
            _, rows = _best_of(scores, rows, width + _SPARE)
            scores = self._scores(asked, rows)
        return _padded(_best_of(scores, rows, width), width)

    def best_among(self, asked: AskedWords, rows: tf.Tensor, width: tf.Tensor) -> Candidates:
        """The same of some rows int32 `[n]`, each scored exactly."""
        return _padded(_best_of(self.scores_of(asked, rows), rows, width), width)

    def reads_best_alone(self, asked: AskedWords) -> tf.Tensor:
        """Whether one request has a term with so long a list that `best` reads but the best of it: bool scalar."""
        begins = tf.gather(self.lists.read_begins.read_value(), tf.maximum(asked.numbers, 0))
        return tf.reduce_any((asked.numbers >= 0) & (begins < self.lists.first))

    def scores_of(self, asked: AskedWords, rows: tf.Tensor) -> tf.Tensor:
        """One request's scores of rows int32 `[n]`: float32 `[n]`, 0 for what is no item of the index."""
        return self._scores(_known(asked), rows)

    def fresh_scores(self, asked: AskedWords, terms: tf.Tensor, impacts: tf.Tensor) -> tf.Tensor:
        """One request's scores of F fresh items, by their terms int64 and impacts uint8 `[F, words]`: float32 `[F]`."""
        values = tf.where(terms[:, :, None] == asked.terms, tf.cast(impacts, tf.float32)[:, :, None], 0.0)
        return self._summed(tf.reduce_sum(values, axis=1) * asked.weights, asked)

    def _scores(self, asked: AskedWords, rows: tf.Tensor) -> tf.Tensor:
        lists = self.lists
        offsets, items = lists.item_offsets.read_value(), tf.clip_by_value(rows, 0, lists.items - 1)
        begins, ends = tf.gather(offsets, items), tf.gather(offsets, items + 1)
        held = flat(begins, tf.where(items == rows, ends - begins, 0))
        impacts = tf.cast(tf.gather(lists.item_impacts.read_value(), held.places), tf.float32)
        terms = tf.gather(lists.item_terms.read_value(), held.places)
        asked_for = tf.cast(terms == asked.numbers[:, None], tf.float32)  # [T, places], along which memory runs
        if self._alternatives == 1:
            values = tf.linalg.matvec(asked_for, asked.weights, transpose_a=True) * impacts
            return tf.math.unsorted_segment_sum(values, held.owners, tf.size(rows))
        values = tf.transpose(asked_for) * impacts[:, None] * asked.weights
        return self._summed(tf.math.unsorted_segment_sum(values, held.owners, tf.size(rows)), asked)

    def _summed(self, values: tf.Tensor, asked: AskedWords) -> tf.Tensor:
        """What terms are worth in items, `[n, T]`, summed up: of each place the best alternative."""
        if self._alternatives == 1:
            return tf.reduce_sum(values, axis=1)
        count = MAX_WORDS * self._alternatives
        sums = tf.math.unsorted_segment_sum(tf.transpose(values), asked.alternatives, count)
        of_places = tf.reshape(sums, [MAX_WORDS, self._alternatives, tf.shape(values)[0]])
        return tf.reduce_sum(tf.reduce_max(of_places, axis=1), axis=0)

    def _read(self, asked: AskedWords) -> tuple[tf.Tensor, tf.Tensor]:
        """The rows read for one request's known terms, `[n]`, and what they are worth by estimate."""
        lists = self.lists
        begins = tf.gather(lists.read_begins.read_value(), asked.numbers)
        read = flat(begins, tf.gather(lists.read_lengths.read_value(), asked.numbers))
        rows = lists.rows_at(read.places)
        impacts = tf.cast(tf.gather(lists.impacts.read_value(), read.places), tf.float32)
        is_long = begins < lists.first
        short = tf.gather(tf.where(is_long, 0.0, asked.weights), read.owners) * impacts
        rows, places = tf.unique(rows)
        estimates = tf.math.unsorted_segment_sum(short, places, tf.size(rows))
        if lists.first:
            long_terms = tf.where(is_long)[:, 0]
            weights = tf.gather(asked.weights, long_terms)
            passed = lists.pass_filters(rows, tf.gather(begins, long_terms))
            once = tf.cast(tf.gather(lists.item_once.read_value(), rows), tf.float32)
            estimates += once * tf.linalg.matvec(passed, weights, transpose_a=True)
        return rows, estimates


def _known(asked: AskedWords) -> AskedWords:
    """One request's terms that items have."""
    places = tf.where(asked.numbers >= 0)[:, 0]
    return AskedWords(*(tf.gather(one, places) for one in asked))


def _terms(kind: str, hashes: tf.Tensor) -> tf.Tensor:
    return tf.where(hashes == NO_TERM, hashes, terms_of(kind, hashes))


def _padded(found: Candidates, width: tf.Tensor) -> Candidates:
    """What was found, `[width]`."""
    scores, rows = found
    missing = [[0, width - tf.size(rows)]]
    return tf.pad(scores, missing, constant_values=NO_SCORE), tf.pad(rows, missing, constant_values=-1)


def _best_of(scores: tf.Tensor, rows: tf.Tensor, count: tf.Tensor) -> Candidates:
    """Of rows int32 `[n]` and their scores the `count` best above 0, fewer where there are fewer; ties by row."""
    # One number to order by: the bits of a score, which order as it does where it is not negative, then the row.
    order = tf.bitwise.left_shift(tf.cast(tf.bitcast(scores, tf.int32), tf.int64), 32) + tf.cast(
        _LAST_ROW - rows, tf.int64
    )
    best, _ = tf.math.top_k(order, tf.minimum(count, tf.size(rows)))
    best = best[: tf.math.count_nonzero(best >= 2**32, dtype=tf.int32)]
    scores = tf.bitcast(tf.cast(tf.bitwise.right_shift(best, 32), tf.int32), tf.float32)
    return scores, _LAST_ROW - tf.cast(tf.bitwise.bitwise_and(best, _LAST_ROW), tf.int32)
