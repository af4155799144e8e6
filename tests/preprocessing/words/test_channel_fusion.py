"""Two lists as one: by hand, and against plain Python for all lists."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.words.channel_fusion import LEAST_DEPTH, Fusion, fuse

List = list[tuple[float, int]]  # scores and rows, best first


def fused(
    by: str, vector: Sequence[List], words: Sequence[List], weights: Sequence[Sequence[float]], k: Sequence[int]
) -> list[list[tuple[float, int, int]]]:
    found = fuse(
        by,  # type: ignore[arg-type]
        padded(vector),
        padded(words),
        tf.constant(weights, tf.float64),
        tf.constant(k, tf.int32),
        tf.constant(max(k)),
    )
    return [
        [(score, row, channel) for score, row, channel in zip(*one, strict=True) if row >= 0]
        for one in zip(*(part.numpy().tolist() for part in found), strict=True)
    ]


def padded(lists: Sequence[List]) -> tuple[tf.Tensor, tf.Tensor]:
    width = max(1, *(len(one) for one in lists))
    scores, rows = np.full((len(lists), width), -np.inf, np.float32), np.full((len(lists), width), -1, np.int32)
    for place, one in enumerate(lists):
        scores[place, : len(one)] = [score for score, _ in one]
        rows[place, : len(one)] = [row for _, row in one]
    return tf.constant(scores), tf.constant(rows)


def plain(by: str, vector: List, words: List, weights: Sequence[float], k: int) -> list[tuple[float, int, int]]:
    """The formula in Python alone."""
    depth, totals, channels, order = max(k, 100), {}, {}, []
    for bit, found, weight in ((1, vector[:depth], weights[0]), (2, words[:depth], weights[1])):
        if not found or weight == 0:
            continue
        last = 0.0 if bit == 2 and len(found) < depth else found[-1][0]
        span = found[0][0] - last
        for rank, (score, row) in enumerate(found, 1):
            gain = 1 / (60.0 + rank) if by == "ranks" else (score - last) / span if span > 0 else 1.0
            if row not in totals:
                order.append(row)
            totals[row], channels[row] = totals.get(row, 0.0) + gain * weight, channels.get(row, 0) + bit
    best = sorted(order, key=lambda row: -totals[row])[:k]
    return [(float(np.float32(totals[row])), row, channels[row]) for row in best]


def test_reciprocal_ranks() -> None:
    [found] = fused("ranks", [[(3.0, 5), (2.0, 7)]], [[(9.0, 7), (8.0, 9), (7.0, 5)]], [[1, 1]], [3])
    # 7: 1/62 + 1/61; 5: 1/61 + 1/63; 9: 1/62
    assert [(row, channel) for _, row, channel in found] == [(7, 3), (5, 3), (9, 2)]
    assert [score for score, *_ in found] == pytest.approx([1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62])


def test_scaled_scores() -> None:
    vector = [[(0.9, 5), (0.8, 7), (0.5, 8)]]
    [found] = fused("scores", vector, [[(9.0, 7), (3.0, 9)]], [[0.4, 0.6]], [10])
    # 7: 0.4 x 0.75 + 0.6; 5: 0.4; 9: 0.6 x 3 / 9, for the list is not full; 8: 0.4 x 0
    assert [(row, channel) for _, row, channel in found] == [(7, 3), (5, 1), (9, 2), (8, 1)]
    assert [score for score, *_ in found] == pytest.approx([0.9, 0.4, 0.2, 0])


def test_the_last_of_a_full_list_of_words_counts_as_one_that_is_missing() -> None:
    words = [[(300.0 - place, place) for place in range(150)]]
    [found] = fused("scores", [[]], words, [[0.5, 0.5]], [100])
    assert [row for _, row, _ in found] == list(range(100))
    assert found[-1][0] == 0


def test_a_channel_of_weight_0_finds_nothing() -> None:
    for by in ("ranks", "scores"):
        [vectors, words] = fused(by, [[(2.0, 1)]] * 2, [[(2.0, 3), (1.0, 1)]] * 2, [[1, 0], [0, 1]], [5, 5])
        assert [(row, channel) for _, row, channel in vectors] == [(1, 1)]
        assert [(row, channel) for _, row, channel in words] == [(3, 2), (1, 2)]


def test_of_equal_scores_the_vectors_come_first() -> None:
    [found] = fused("ranks", [[(2.0, 9), (1.0, 4)]], [[(2.0, 1), (1.0, 2)]], [[1, 1]], [4])
    assert [row for _, row, _ in found] == [9, 1, 4, 2]
    [found] = fused("ranks", [[(2.0, 9), (1.0, 4)]], [[(2.0, 4), (1.0, 9)]], [[1, 1]], [4])
    assert [row for _, row, _ in found] == [9, 4]


def test_a_fusion_knows_which_channels_are_asked() -> None:
    assert not Fusion("ranks", ((1.0, 0.0), (0.5, 0.0))).asks_words
    assert Fusion("ranks", ((1.0, 0.0), (0.0, 0.5))).asks_words
    assert not Fusion("ranks", ((0.0, 1.0),)).asks_vectors
    weights = Fusion("ranks", ((1.0, 0.0), (0.25, 0.75))).of(tf.constant([1, 0, 1]))
    assert weights.numpy().tolist() == [[0.25, 0.75], [1, 0], [0.25, 0.75]]


@st.composite
def _lists(draw: st.DrawFn, most: int = 140) -> List:
    rows = draw(st.lists(st.integers(0, 60), unique=True, max_size=most))
    scores = draw(st.lists(st.floats(0.125, 20, width=32), min_size=len(rows), max_size=len(rows)))
    rows += draw(st.sampled_from([[], list(range(100, 100 + LEAST_DEPTH))]))
    scores += [0.0625] * (len(rows) - len(scores))
    return list(zip(sorted(scores, reverse=True), rows, strict=True))


_weights = st.sampled_from([(1.0, 0.0), (0.0, 1.0), (0.5, 0.5), (0.3, 0.7), (0.9, 0.1)])
_requests = st.tuples(_lists(), _lists(), _weights, st.integers(1, 130))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(["ranks", "scores"]), st.lists(_requests, min_size=1, max_size=4))
def test_any_lists_are_fused_as_by_hand_whatever_they_are_batched_with(
    by: str, requests: list[tuple[List, List, tuple[float, float], int]]
) -> None:
    found = fused(by, *zip(*requests, strict=True))
    assert found == [plain(by, *one) for one in requests]


@settings(deadline=None, max_examples=20)
@given(st.sampled_from(["ranks", "scores"]), _requests, st.integers(1, LEAST_DEPTH))
def test_the_first_hang_on_no_k_up_to_100(
    by: str, request: tuple[List, List, tuple[float, float], int], less: int
) -> None:
    vector, words, weights, _ = request
    [few], [many] = (fused(by, [vector], [words], [weights], [k]) for k in (less, LEAST_DEPTH))
    assert few == many[:less]
    assert all(math.isfinite(score) for score, *_ in many)
