"""From an index to K answers that meet every condition: over-retrieve, look harder, or read the shortest list."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import NamedTuple

import tensorflow as tf

from preprocessing.text.branches import lazy_cond, lazy_loop
from serving.graph.conditions import Conditions
from serving.graph.item_filter import ItemFilter
from serving.graph.list_search import best_of_list
from serving.graph.shortest_lists import LookedUp, first_searches, look_up_lists, nothing_to_look_up
from serving.index.base import NO_SCORE, Candidates, Effort, Index, best_of, exact_search, variable

_AT_ONCE = 32  # requests that are looked harder for together: what they hold is bounded, however many wait


class Asked(NamedTuple):
    """B requests that one search does not answer as it stands."""

    embeddings: tf.Tensor  # float32 [B, dim]
    k: tf.Tensor  # int32 [B]
    looked_up: LookedUp
    first: tf.Tensor  # int32 [B], the first search that is worth its time

    def of(self, requests: tf.Tensor) -> Asked:
        """Some of them."""
        return tf.nest.map_structure(lambda one: tf.gather(one, requests), self)


class Best(NamedTuple):
    """What was found for them so far."""

    scores: tf.Tensor  # float32 [B, width]
    rows: tf.Tensor  # int32 [B, width]
    filled: tf.Tensor  # bool [B], whether that is the answer


Search = Callable[[tf.Tensor], Candidates]  # some requests [s], by number -> what it finds for them


class OverRetrieval(tf.Module):
    """Searches an index and a side index of fresh items.

    Each request goes through the efforts until it has its k. Whoever still lacks some, or is answered by less, gets the
    exact answer from the shortest list of items that its conditions leave; without one, from every item there is.
    What a request gets depends on nothing but itself, so that a server may merge requests as it likes.
    """

    def __init__(self, index: Index, items: ItemFilter, efforts: Sequence[Effort], max_k: int) -> None:
        super().__init__(name="over_retrieval")
        self.max_k = max_k
        self.index, self.filter = index, items
        self.items, self.alive = items.items, items.alive
        self.efforts = list(efforts)
        # [F, dim], of the rows behind the index's
        self.fresh = variable(tf.zeros([0, index.dim]), tf.float32, "fresh", grows=True)
        self.amended = variable(tf.constant(False), tf.bool, "amended")  # some are fresh or tombstones

    def __call__(
        self, embeddings: tf.Tensor, k: tf.Tensor, conditions: Conditions | None, known: LookedUp | None = None
    ) -> Candidates:
        """The best of float32 `[B, dim]` for int32 `[B]` k >= 0, of all items without conditions: `[B, max k]`.

        Who has looked the conditions up gives that as well.
        """
        found = self.index.search(embeddings, self.efforts[0])
        width = tf.maximum(tf.reduce_max(k), 0)  # of no request: the least int32
        given = tf.constant(False) if conditions is None else conditions.any_given()
        return lazy_cond(
            self._is_answer(found, k, width) & ~given,
            lambda: (found[0][:, :width], found[1][:, :width]),
            lambda: self._answer(found, embeddings, k, conditions, known, given),
        )

    def _is_answer(self, found: Candidates, k: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """Whether what an index found is the answer as it stands, as it mostly is: nothing to sift or to add."""
        plain = [
            tf.reduce_min(k) == width,
            width <= min(self.efforts[0].candidates, self.index.size),
            tf.reduce_min(found[1], axis=[0, 1]) >= 0,
            ~self.amended,
        ]
        return tf.reduce_all(plain, axis=0)

    def _answer(
        self,
        found: Candidates,
        embeddings: tf.Tensor,
        k: tf.Tensor,
        conditions: Conditions | None,
        known: LookedUp | None,
        given: tf.Tensor,
    ) -> Candidates:
        """What the first effort found, where that is worth a look, and for those who lack some what others find."""
        width, batch = tf.maximum(tf.reduce_max(k), 0), tf.shape(embeddings)[0]
        looked_up, first = self._planned(conditions, known, given, k)
        asked = Asked(embeddings, k, looked_up, first)
        nothing = (tf.fill([batch, width], NO_SCORE), tf.fill([batch, width], -1))
        spare = 0 if conditions is None else int(conditions.excluded.shape[1])
        best = Best(*nothing, k <= 0)
        best = lazy_cond(
            tf.reduce_any(first < len(self.efforts)), lambda: self._searched(found, asked, best, spare), lambda: best
        )
        if conditions is not None:
            best = self._listed(asked, best)
        inside = tf.range(width)[None, :] < k[:, None]
        return tf.where(inside, best.scores, nothing[0]), tf.where(inside, best.rows, nothing[1])

    def _searched(self, found: Candidates, asked: Asked, best: Best, spare: int) -> Best:
        """What searches find for those for whom they are worth their time, one after the other until k are filled.

        Who has no list is answered by exact search in the end, which must find `spare` more: they may be excluded.
        """
        width = tf.shape(best.rows)[1] + spare
        further = [functools.partial(self._search, effort, asked) for effort in self.efforts[1:]]
        searches = [functools.partial(_gathered, found), *further, functools.partial(self._everything, width, asked)]

        def look(number: tf.Tensor, best: Best) -> Best:
            worth = tf.where(number < len(self.efforts), asked.first <= number, ~asked.looked_up.lists.has_list)
            turn = tf.where(~best.filled & worth)[:, 0]

            def look_for(begin: tf.Tensor, best: Best) -> Best:
                some = turn[begin : begin + _AT_ONCE]
                return self._improved(some, _chosen(number, searches, some), asked, best)

            return lazy_loop(tf.size(turn), _AT_ONCE, look_for, best)

        return lazy_loop(tf.constant(len(searches)), 1, look, best)

    def _planned(
        self, conditions: Conditions | None, known: LookedUp | None, given: tf.Tensor, k: tf.Tensor
    ) -> tuple[LookedUp, tf.Tensor]:
        """The conditions as they are looked up, and each request's first search."""
        if conditions is None:
            return nothing_to_look_up(tf.size(k)), tf.zeros_like(k)
        looked_up = self.look_up(conditions) if known is None else known
        plan = functools.partial(first_searches, looked_up.lists, k, self.index, self.efforts)
        return looked_up, lazy_cond(given, plan, lambda: tf.zeros_like(k))

    def look_up(self, conditions: Conditions) -> LookedUp:
        """From strings to clauses and lists of items."""
        widths = (int(one.shape[1]) for one in (conditions.leaves, conditions.brands, conditions.excluded))
        return lazy_cond(
            conditions.any_given(),
            lambda: look_up_lists(self.filter.look_up(conditions), self.filter.lists),
            lambda: nothing_to_look_up(tf.shape(conditions.prices)[0], *widths),
        )

    def _improved(self, requests: tf.Tensor, found: Candidates, asked: Asked, best: Best) -> Best:
        """What was found for some requests `[s]`, sifted, in the place of what they had."""
        if asked.looked_up.clauses.never_given:
            return self._alive(requests, found, asked, best)
        return lazy_cond(
            tf.reduce_any(tf.gather(asked.looked_up.clauses.given, requests)),
            lambda: self._sifted(requests, found, asked, best),
            lambda: self._alive(requests, found, asked, best),
        )

    def _alive(self, requests: tf.Tensor, found: Candidates, asked: Asked, best: Best) -> Best:
        """The best of what a search found and of the fresh items, for requests without conditions."""
        fresh = tf.matmul(tf.gather(asked.embeddings, requests), self.fresh, transpose_b=True)
        numbers = tf.range(self.index.size, self.index.size + tf.shape(fresh)[1])
        rows = tf.concat([found[1], tf.tile(numbers[None, :], [tf.shape(fresh)[0], 1])], axis=1)
        scores = tf.concat([found[0], fresh], axis=1)
        scores = tf.where(self.filter.are_alive(rows), scores, NO_SCORE)
        scores, rows = best_of([scores], [rows], tf.shape(best.rows)[1])
        filled = _are_filled(scores, found, tf.gather(asked.k, requests))
        places = requests[:, None]
        better = zip(best, (scores, rows, filled), strict=True)
        return Best(*(tf.tensor_scatter_nd_update(one, places, other) for one, other in better))

    def _sifted(self, requests: tf.Tensor, found: Candidates, asked: Asked, best: Best) -> Best:
        """The same of what meets each request's conditions; one by one, so that what they hold at a time is bounded."""

        def sifted(place: tf.Tensor, one: Asked) -> Best:
            scores, rows = found[0][place], found[1][place]
            places = self.filter.indexed(rows, one.looked_up.clauses)
            kept = self._with_fresh((tf.gather(scores, places), tf.gather(rows, places)), one, tf.shape(best.rows)[1])
            return Best(*kept, _are_filled(kept[0], (scores, rows), one.k))

        return _one_by_one(sifted, requests, asked, best)

    def _listed(self, asked: Asked, best: Best) -> Best:
        """The exact answers of those who are not answered yet and have a list."""
        worth = (asked.looked_up.lists.lengths > 0) | (self.filter.fresh_count() > 0)
        turn, width = tf.where(~best.filled & asked.looked_up.lists.has_list & worth)[:, 0], tf.shape(best.rows)[1]

        def listed(_: tf.Tensor, one: Asked) -> Best:
            found = best_of_list(self.index, self.filter, one.embeddings, one.looked_up, width)
            return Best(*self._with_fresh(found, one, width), tf.constant(True))

        return _one_by_one(listed, turn, asked, best)

    def _with_fresh(self, found: Candidates, one: Asked, width: tf.Tensor) -> Candidates:
        """The best `[width]` of items found `[n]` that meet a request's conditions, and of the fresh ones that do."""

        def fresh() -> Candidates:
            vectors = self.fresh.read_value()
            scores = tf.where(
                self.filter.fresh(one.looked_up.clauses), tf.linalg.matvec(vectors, one.embeddings), NO_SCORE
            )
            rows = tf.range(self.index.size, self.index.size + tf.size(scores))
            return tf.concat([found[0], scores], axis=0), tf.concat([found[1], rows], axis=0)

        scores, rows = lazy_cond(self.filter.fresh_count() > 0, fresh, lambda: found)
        best, best_rows = best_of([scores[None]], [rows[None]], width)
        return best[0], best_rows[0]

    def _search(self, effort: Effort, asked: Asked, requests: tf.Tensor) -> Candidates:
        """What an effort finds for some requests."""
        return self.index.search(tf.gather(asked.embeddings, requests), effort)

    def _everything(self, width: tf.Tensor, asked: Asked, requests: tf.Tensor) -> Candidates:
        """The best of all items alive of the index."""
        return exact_search(self.index, tf.gather(asked.embeddings, requests), width, self.filter.are_alive)


def _gathered(found: Candidates, requests: tf.Tensor) -> Candidates:
    return tf.gather(found[0], requests), tf.gather(found[1], requests)


def _chosen(number: tf.Tensor, searches: Sequence[Search], requests: tf.Tensor) -> Candidates:
    """What the search of a number finds: all but it stand in the graph unvisited."""
    first, *others = searches
    if not others:
        return first(requests)
    return lazy_cond(number == 0, lambda: first(requests), lambda: _chosen(number - 1, others, requests))


def _one_by_one(answer: Callable[[tf.Tensor, Asked], Best], requests: tf.Tensor, asked: Asked, best: Best) -> Best:
    """What was found so far, with the answers of some requests `[s]` in their places, by place in `requests`."""

    def step(place: tf.Tensor, best: Best) -> Best:
        request = requests[place]
        better = zip(best, answer(place, asked.of(request)), strict=True)
        return Best(*(tf.tensor_scatter_nd_update(one, [[request]], other[None]) for one, other in better))

    return lazy_loop(tf.size(requests), 1, step, best)


def _are_filled(scores: tf.Tensor, found: Candidates, k: tf.Tensor) -> tf.Tensor:
    """Whether what was sifted, scores `[..., width]`, is the answer to k: bool `[...]`.

    Only what is as good as the search's last candidate counts: between a worse one, which is fresh, and that there may
    be items which the search left out.
    """
    last = tf.reduce_min(tf.where(found[1] >= 0, found[0], -NO_SCORE), axis=-1, keepdims=True)
    return tf.reduce_sum(tf.cast(scores >= last, tf.int32), axis=-1) >= k


def growing_efforts(chosen: Effort, size: int) -> list[Effort]:
    """The tuned effort first, then ever harder ones: eight times the candidates, twice the leaves each."""
    efforts = [chosen]
    for step in (1, 2):
        candidates = chosen.candidates * 8**step
        if candidates >= size:
            break
        efforts.append(Effort(candidates, chosen.leaves * 2**step, max(chosen.reorder, candidates)))
    return efforts
