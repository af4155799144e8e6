"""The client's fusion of lists is the graph's, to the last bit."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.words.channel_fusion import CONSTANT, LEAST_DEPTH, By
from preprocessing.words.channel_fusion import fuse as fuse_in_graph
from serving.retriever.fuse_lists import Listed, Rule, fuse, merged

scores = st.lists(st.integers(-4, 9).map(lambda number: number / 3), max_size=130)


def listed(values: list[float], rows: np.ndarray) -> list[Listed]:
    """Scores, best first, of rows as they come."""
    ordered = sorted((float(np.float32(one)) for one in values), reverse=True)
    return [Listed(score, row, f"i{row}") for score, row in zip(ordered, rows.tolist(), strict=False)]


def in_graph(one: list[Listed]) -> tuple[tf.Tensor, tf.Tensor]:
    return tf.constant([[item.score for item in one]], tf.float32), tf.constant([[x.place for x in one]], tf.int32)


@pytest.mark.parametrize("by", ["ranks", "scores"])
@settings(max_examples=40, deadline=None)
@given(scores, scores, st.sampled_from([(1, 0), (0.35, 0.65), (0, 1), (0.5, 0.5)]), st.integers(0, 120), st.integers(0))
def test_as_in_the_graph(
    by: By, vector: list[float], words: list[float], weights: tuple[float, float], k: int, seed: int
) -> None:
    random = np.random.default_rng(seed % 100)
    lists = [listed(one, random.permutation(180)) for one in (vector, [abs(score) + 0.1 for score in words])]
    rule = Rule(by, CONSTANT, LEAST_DEPTH, ((9.0, 9.0), weights))
    expected = fuse_in_graph(
        by, *map(in_graph, lists), tf.constant([weights], tf.float64), tf.constant([k]), tf.constant(k)
    )
    found = fuse(rule, *lists, kind=1, k=k)
    there = expected[1][0].numpy() >= 0
    assert [one.item_id for one in found] == [f"i{row}" for row in expected[1][0].numpy()[there]]
    assert [one.score for one in found] == expected[0][0].numpy()[there].tolist()
    assert [one.channels for one in found] == expected[2][0].numpy()[there].tolist()


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 2)), max_size=40), st.integers(0, 30))
def test_merged_as_one_list(items: list[tuple[int, int]], depth: int) -> None:
    """Whichever shard an item is in: of equal scores the earlier of the catalogue comes first."""
    whole = [Listed(float(score), place, str(place)) for place, (score, _) in enumerate(items)]
    parts = [[one for one, (_, shard) in zip(whole, items, strict=True) if shard == number] for number in range(3)]
    assert merged(parts, depth) == sorted(whole, key=lambda one: -one.score)[:depth]
