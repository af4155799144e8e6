"""How two channels are fused is chosen on labelled requests: whatever is no better, by an interval, is left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, get_args

import numpy as np
import tensorflow as tf

from preprocessing.words.bootstrap import Bootstrap
from preprocessing.words.channel_fusion import LEAST_DEPTH, By, Found, Fusion, merged, side_by_side
from preprocessing.words.query_kinds import Way

DEPTHS = (10, 100, 1000)  # of an answer of as many items as the last
_SHORT = (10, 100)  # of an answer of LEAST_DEPTH, whose lists are fused less deep
_IMPORTANCE = np.array([1, 1, 2, 1, 1]) / 6  # of Recall at these: each depth counts alike
LEAST = 20  # owners of labelled requests; with fewer nothing is chosen
MOST_REQUESTS = 2_000
PRIOR: tuple[By, float] = ("scores", 0.7)  # by, and the share of the words, where there is nothing to choose on
_SHARES = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)  # of the words' weight, between one channel and the other
_FOLDS = 5
_SEED = 17
_TOGETHER = 64  # requests
CANDIDATES: list[tuple[By, float]] = [(by, share) for by in get_args(By) for share in (0.0, *_SHARES, 1.0)]


class Labelled(NamedTuple):
    """What is known of n requests."""

    positives: Sequence[np.ndarray]  # the distinct rows that each should find, one at least
    owners: np.ndarray  # [n], users or queries; what one owns is one fact
    kinds: Mapping[Way, np.ndarray]  # ways to tell queries apart, each int [n] from 0 on


class Chosen(NamedTuple):
    """A fusion, and what speaks for it."""

    fusion: Fusion
    kinds: Way | None  # the way to tell queries apart, where the weights differ by it
    chosen_on: str  # "validation", or "prior" where there was nothing to choose on
    requests: int
    recall: dict[str, dict[int, float]]  # by channel and depth


class _Plan(NamedTuple):
    """A candidate for each kind of query."""

    kinds: Way | None
    candidates: np.ndarray  # int [kinds], places in CANDIDATES, all of one `by`


def choose(vector: Found, words: Found, labelled: Labelled, from_log: bool) -> Chosen:
    """The fusion of most Recall, its mean over `DEPTHS`, of an answer of 1,000 items and of one of 100 alike.

    One weight for all queries must beat the prior, and weights by kind of query must beat one for all, each
    cross-validated over owners and by a paired interval; so with few labels it is the prior. It stands until one
    channel alone is better on the mean of all depths, by an interval. Of what was chosen a channel with which a depth
    is worse, by an interval, than without is left out, and so is one with which none is better.

    Args:
      vector: what the vectors found, as deep as the deepest of `DEPTHS` where there are as many items.
      words: what the words found.
      labelled: the same requests.
      from_log: whether people asked them; requests made of the catalogue's own words would choose words.
    """
    deep = recalls_of(vector, words, labelled.positives)
    short = recalls_of(vector.first(LEAST_DEPTH), words.first(LEAST_DEPTH), labelled.positives)
    choice = _Choice(np.concatenate([deep, short[:, :, : len(_SHORT)]], axis=2), labelled)
    chosen_on = "validation" if from_log and len(np.unique(labelled.owners)) >= LEAST else "prior"
    plan = choice.plan() if chosen_on == "validation" else choice.prior
    figures = {"vector": choice.alone(0.0), "words": choice.alone(1.0), "fused": choice.reached(plan)}
    by = CANDIDATES[plan.candidates[0]][0]
    weights = tuple((round(1 - share, 2), share) for _, share in (CANDIDATES[place] for place in plan.candidates))
    recall = {name: dict(zip(DEPTHS, _means(one[:, : len(DEPTHS)]), strict=True)) for name, one in figures.items()}
    return Chosen(Fusion(by, weights), plan.kinds, chosen_on, len(labelled.positives), recall)


class _Choice:
    """The choice by what each candidate finds: Recall `[candidates, n, figures]`, at DEPTHS and then at _SHORT."""

    def __init__(self, recalls: np.ndarray, labelled: Labelled) -> None:
        self._recalls, self._kinds = recalls, labelled.kinds
        self._objective = recalls @ _IMPORTANCE
        self._by_owner = Bootstrap(labelled.owners, _SEED)
        _, owners = np.unique(labelled.owners, return_inverse=True)
        self._folds = np.random.default_rng(_SEED).permutation(owners.max(initial=0) + 1)[owners] % _FOLDS
        self.prior = _Plan(None, np.array([CANDIDATES.index(PRIOR)]))

    def plan(self) -> _Plan:
        """The simplest that nothing less simple beats, with the channels that help."""
        plan, values = self.prior, self._values(self.prior)
        for kinds in (None, *self._kinds):
            unseen = self._cross_validated(kinds)
            if self._above(unseen, values):
                plan, values = _Plan(kinds, self._fit(kinds, np.full(len(values), True))), unseen
        return self._with_channels_that_help(plan)

    def reached(self, plan: _Plan) -> np.ndarray:
        """Recall `[n, figures]`."""
        return self._recalls[plan.candidates[self._kinds_of(plan.kinds)], np.arange(self._recalls.shape[1])]

    def alone(self, share: float) -> np.ndarray:
        """Recall `[n, figures]` of one channel."""
        return self._recalls[CANDIDATES.index((PRIOR[0], share))]

    def _values(self, plan: _Plan) -> np.ndarray:
        return self.reached(plan) @ _IMPORTANCE

    def _kinds_of(self, kinds: Way | None) -> np.ndarray:
        return np.zeros(self._recalls.shape[1], int) if kinds is None else self._kinds[kinds]

    def _fit(self, kinds: Way | None, counted: np.ndarray) -> np.ndarray:
        """The best candidate for each kind over the counted requests; a kind with few takes what is best for all."""
        of_kind = self._kinds_of(kinds)
        best: tuple[float, np.ndarray] | None = None
        for by in get_args(By):
            places = np.array([place for place, (one, _) in enumerate(CANDIDATES) if one == by])
            sums = np.stack(
                [self._objective[places][:, counted & (of_kind == one)].sum(axis=1) for one in range(of_kind.max() + 1)]
            )
            few = np.bincount(of_kind[counted], minlength=len(sums)) < LEAST
            shares = np.where(few, sums.sum(axis=0).argmax(), sums.argmax(axis=1))
            reached = float(sums[np.arange(len(sums)), shares].sum())
            if best is None or reached > best[0]:
                best = (reached, places[shares])
        assert best is not None
        return best[1]

    def _cross_validated(self, kinds: Way | None) -> np.ndarray:
        """What each request has from candidates that were chosen without it and its owner's others, `[n]`."""
        of_kind, values = self._kinds_of(kinds), np.zeros(self._recalls.shape[1])
        for fold in range(_FOLDS):
            mine = np.flatnonzero(self._folds == fold)
            values[mine] = self._objective[self._fit(kinds, self._folds != fold)[of_kind[mine]], mine]
        return values

    def _with_channels_that_help(self, plan: _Plan) -> _Plan:
        fused = self.reached(plan)
        without = {share: self.alone(share) for share in (0.0, 1.0)}
        if plan is self.prior:  # what is not chosen by data stands until all depths together speak against it
            enough = [share for share, one in without.items() if self._above(one @ _IMPORTANCE, fused @ _IMPORTANCE)]
        else:
            enough = [share for share, one in without.items() if not self._helped(fused, one)]
        if not enough:
            return plan
        best = max(enough, key=lambda share: (without[share] @ _IMPORTANCE).sum())
        return _Plan(None, np.array([CANDIDATES.index((PRIOR[0], best))]))

    def _helped(self, fused: np.ndarray, alone: np.ndarray) -> bool:
        """Whether both channels find nowhere less than one, by intervals, and at some depth more."""
        differences = [self._by_owner.difference(fused[:, place], alone[:, place]) for place in range(fused.shape[1])]
        found = [one for one in differences if one is not None]
        return not any(one.high < 0 for one in found) and any(one.low > 0 for one in found)

    def _above(self, one: np.ndarray, other: np.ndarray) -> bool:
        difference = self._by_owner.difference(one, other)
        return difference is not None and difference.low > 0


def recalls_of(vector: Found, words: Found, positives: Sequence[np.ndarray]) -> np.ndarray:
    """Recall of every candidate, `[candidates, n, depths]`, of lists fused as deep as they are."""
    parts = []
    for begin in range(0, len(positives), _TOGETHER):
        part = slice(begin, begin + _TOGETHER)
        parts.append(_recalls(vector.part(part), words.part(part), positives[part]))
    return np.concatenate(parts, axis=1) if parts else np.zeros((len(CANDIDATES), 0, len(DEPTHS)))


def _recalls(vector: Found, words: Found, positives: Sequence[np.ndarray]) -> np.ndarray:
    """Of a few requests together."""
    owners = np.repeat(np.arange(len(positives)), [len(rows) for rows in positives])
    wanted = np.concatenate(positives)
    found = []
    for by in get_args(By):
        alone = [_ranks(_in_order(one), one.rows, owners, wanted) for one in (vector, words)]
        gains, rows = _joined(by, vector, words)
        between = [_ranks(gains @ [round(1 - share, 2), share], rows, owners, wanted) for share in _SHARES]
        found += [alone[0], *between, alone[1]]
    hits = np.array(found)[:, :, None] < np.array(DEPTHS)
    firsts = np.flatnonzero(np.diff(owners, prepend=-1))
    return np.add.reduceat(hits, firsts, axis=1, dtype=float) / np.bincount(owners)[:, None]


def _in_order(found: Found) -> np.ndarray:
    """Totals of a list that is in order already."""
    return np.broadcast_to(-np.arange(found.rows.shape[1], dtype=float), found.rows.shape)


def _joined(by: By, vector: Found, words: Found) -> tuple[np.ndarray, np.ndarray]:
    """Of each request the gains `[b, n, 2]` of both lists and the rows `[b, n]`, -1 for none."""
    k = tf.fill([len(vector.rows)], max(vector.rows.shape[1], words.rows.shape[1]))
    entries = side_by_side(by, vector, words, tf.fill([len(vector.rows), 2], True), k)
    nothing = tf.zeros_like(entries.gains)
    apart = [tf.where(entries.of_words, *sides) for sides in ((nothing, entries.gains), (entries.gains, nothing))]
    gains, rows = merged(tf.stack(apart, axis=2), entries.rows)
    return gains.numpy(), rows.numpy()


def _ranks(totals: np.ndarray, rows: np.ndarray, owners: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Where each wanted row stands in its owner's list by falling totals, of equal ones the earlier; else past all.

    Args:
      totals: `[b, n]`.
      rows: `[b, n]`, -1 for none.
      owners: `[p]`, from 0 to b - 1.
      wanted: `[p]`.
    """
    same = rows[owners] == wanted[:, None]
    places, there = same.argmax(axis=1), same.any(axis=1)
    of_owner = np.where(rows >= 0, totals, -np.inf)[owners]
    own = of_owner[np.arange(len(wanted)), places][:, None]
    before = (of_owner > own) | ((of_owner == own) & (np.arange(rows.shape[1]) < places[:, None]))
    return np.where(there, before.sum(axis=1), np.iinfo(np.int64).max)


def _means(recalls: np.ndarray) -> list[float]:
    return [round(float(one), 5) for one in recalls.mean(axis=0)] if len(recalls) else [0.0] * len(DEPTHS)


def described(chosen: Chosen) -> dict[str, Any]:
    """For a manifest."""
    return {
        "by": chosen.fusion.by,
        "weights": [{"vector": vector, "words": words} for vector, words in chosen.fusion.weights],
        "kinds": chosen.kinds,
        "chosen_on": chosen.chosen_on,
        "requests": chosen.requests,
        "recall": chosen.recall,
    }
