"""A fusion is what labelled requests say, by an interval, or the prior."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.words.channel_fusion import fuse
from preprocessing.words.choose_fusion import (
    CANDIDATES,
    DEPTHS,
    PRIOR,
    Chosen,
    Found,
    Labelled,
    choose,
    described,
    recalls_of,
)

_ITEMS = 40_000  # so many that lists of chance share few
_DEPTH = 1000
_PRIOR = ((round(1 - PRIOR[1], 2), PRIOR[1]),)


class _Shop:
    """Requests of one positive each, and lists that have it at given ranks; the rest of a list is chance."""

    def __init__(self, requests: int, seed: int = 3) -> None:
        self._random = np.random.default_rng(seed)
        self.positives = [self._random.choice(_ITEMS, 1) for _ in range(requests)]

    def found(self, ranks: Sequence[int]) -> Found:
        """Lists with each request's positive at a rank; without it at -1."""
        rows = np.empty((len(ranks), _DEPTH), np.int32)
        for place, (rank, [wanted]) in enumerate(zip(ranks, self.positives, strict=True)):
            others = self._random.permutation(_ITEMS)
            rows[place] = others[others != wanted][:_DEPTH]
            if rank >= 0:
                rows[place, rank] = wanted
        scores = np.sort(self._random.random((len(ranks), _DEPTH)).astype(np.float32))[:, ::-1]
        return Found(scores, rows)

    def ranks(self, *chances: tuple[float, int]) -> np.ndarray:
        """Of each request a rank below one of some bounds, by their chances; else -1."""
        bounds = np.array([-1, *(bound for _, bound in chances)])
        shares = [chance for chance, _ in chances]
        drawn = bounds[self._random.choice(len(bounds), len(self.positives), p=[1 - sum(shares), *shares])]
        return np.where(drawn < 0, -1, self._random.integers(0, np.maximum(drawn, 1)))

    def labelled(self, **kinds: np.ndarray) -> Labelled:
        return Labelled(self.positives, np.arange(len(self.positives)), kinds)


def _chosen(shop: _Shop, vector: np.ndarray, words: np.ndarray, from_log: bool = True, **kinds: np.ndarray) -> Chosen:
    return choose(shop.found(vector.tolist()), shop.found(words.tolist()), shop.labelled(**kinds), from_log)


def test_words_that_find_nothing_get_no_weight() -> None:
    shop = _Shop(400)
    found = _chosen(shop, shop.ranks((0.6, 10), (0.3, 100)), shop.ranks((0.05, 1000)))
    assert found.fusion.weights == ((1.0, 0.0),) and not found.fusion.asks_words
    assert found.recall["fused"] == found.recall["vector"]
    assert found.chosen_on == "validation" and found.requests == 400


def test_vectors_that_find_nothing_get_no_weight() -> None:
    shop = _Shop(400)
    found = _chosen(shop, shop.ranks((0.05, 1000)), shop.ranks((0.6, 10), (0.3, 100)))
    assert found.fusion.weights == ((0.0, 1.0),) and not found.fusion.asks_vectors


def test_channels_that_find_different_items_are_fused() -> None:
    shop = _Shop(400)
    by_words = np.arange(400) % 2 == 0
    near = shop.ranks((1.0, 5))
    found = _chosen(shop, np.where(by_words, -1, near), np.where(by_words, near, -1))
    assert found.fusion.asks_words and found.fusion.asks_vectors
    assert found.recall["vector"] == found.recall["words"] == dict.fromkeys(DEPTHS, 0.5)
    assert min(found.recall["fused"][depth] for depth in DEPTHS[1:]) > 0.9


def test_few_labels_and_labels_of_the_catalogues_own_words_leave_the_prior() -> None:
    shop = _Shop(400)
    ranks = shop.ranks((0.6, 10)), shop.ranks((0.05, 1000))
    assert _chosen(shop, *ranks, from_log=False).fusion.weights == _PRIOR
    few = _Shop(19)
    found = _chosen(few, few.ranks((0.6, 10)), few.ranks((0.05, 1000)))
    assert found.fusion == (PRIOR[0], _PRIOR) and found.chosen_on == "prior" and found.requests == 19
    nothing = choose(*(Found(np.zeros((0, 5), np.float32), np.zeros((0, 5), np.int32)),) * 2,
                     Labelled([], np.array([]), {}), True)  # fmt: skip
    assert nothing.fusion.weights == _PRIOR


def test_what_might_be_chance_leaves_the_prior() -> None:
    for seed in range(5):
        shop = _Shop(25, seed)
        vector, words = (shop.ranks((0.3, 20), (0.4, 700)) for _ in range(2))
        assert _chosen(shop, vector, words).fusion == (PRIOR[0], _PRIOR)


def test_weights_differ_by_kind_where_kinds_do() -> None:
    shop = _Shop(600)
    new = np.arange(600) % 2
    good, poor = shop.ranks((0.9, 10)), shop.ranks((0.3, 700))
    ranks = np.where(new == 1, poor, good), np.where(new == 1, good, poor)
    found = _chosen(shop, *ranks, other=np.arange(600) // 2 % 2, new=new)
    assert found.kinds == "new"
    (vector, less), (lesser, words) = found.fusion.weights
    assert vector > less and words > lesser
    assert described(found)["kinds"] == "new" and len(described(found)["weights"]) == 2
    same = _chosen(shop, good, poor, new=new)
    assert same.kinds is None and len(same.fusion.weights) == 1


def test_one_owners_requests_are_one_fact() -> None:
    shop = _Shop(400)
    ranks = [np.where(np.arange(400) < 380, one, -1) for one in (shop.ranks((1.0, 3)), shop.ranks((1.0, 900)))]
    found = [shop.found(one.tolist()) for one in ranks]
    alike = choose(*found, Labelled(shop.positives, np.zeros(400), {}), True)
    assert alike.fusion.weights == _PRIOR and alike.chosen_on == "prior"
    assert choose(*found, shop.labelled(), True).fusion.weights != _PRIOR


@pytest.mark.parametrize("candidate", range(len(CANDIDATES)))
def test_what_is_compared_is_what_is_served(candidate: int) -> None:
    by, share = CANDIDATES[candidate]
    shop = _Shop(70)
    vector, words = (shop.found(shop.ranks((0.5, 20), (0.3, 400)).tolist()) for _ in range(2))
    words = Found(
        *(np.where(np.arange(_DEPTH) < 60, part, gone) for part, gone in zip(words, (-np.inf, -1), strict=True))
    )
    positives = [np.unique([*one, 1, 2, 3][: 1 + place % 4]) for place, one in enumerate(shop.positives)]
    weights = tf.constant([[round(1 - share, 2), share]] * 70, tf.float64)
    lists = [(tf.constant(one.scores), tf.constant(one.rows)) for one in (vector, words)]
    _, rows, _ = fuse(by, lists[0], lists[1], weights, tf.fill([70], _DEPTH), tf.constant(_DEPTH))
    expected = [
        [np.isin(wanted, found[:depth]).mean() for depth in DEPTHS]
        for wanted, found in zip(positives, rows.numpy(), strict=True)
    ]
    assert np.allclose(recalls_of(vector, words, positives)[candidate], expected)
