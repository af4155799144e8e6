"""The attention layers against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.towers.attention import (
    AskedSelfAttention,
    SelfAttention,
    TransformerBlock,
    grouped_attention,
    masked_softmax,
    query_attention,
)
from trainer.towers.lists import Lists
from trainer.towers.sequences import Sequences

DRAW = np.random.default_rng(9)


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def normal(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape).astype(np.float32)


def test_masked_softmax() -> None:
    found = masked_softmax(
        tf.constant([[1.0, 2.0, 9.0], [1.0, 2.0, 3.0]]), tf.constant([[True, True, False], [False] * 3])
    )
    assert found.numpy()[0] == pytest.approx([*softmax(np.array([1.0, 2.0])), 0.0])
    assert np.all(np.isfinite(found.numpy()[1]))


@pytest.mark.parametrize("zero_vector", [True, False])
def test_query_attention(zero_vector: bool) -> None:
    queries, rows, lengths = normal(3, 2, 4), normal(3, 5, 4), [5, 2, 0]
    found = query_attention(tf.constant(queries), tf.constant(rows), tf.sequence_mask(lengths, 5), zero_vector).numpy()
    for case, length in enumerate(lengths):
        there = rows[case, :length]
        if zero_vector:
            there = np.concatenate([np.zeros([1, 4], np.float32), there])
        expected = softmax(queries[case] @ there.T) @ there if len(there) else np.zeros([2, 4])
        assert found[case] == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("zero_vector", [True, False])
def test_grouped_attention(zero_vector: bool) -> None:
    queries, rows, mask = normal(3, 2, 4), normal(3, 5, 6, 4), tf.sequence_mask([6, 2, 0], 6)
    found = grouped_attention(queries, rows, mask, zero_vector)
    expected = sum(query_attention(queries, rows[:, group], mask, zero_vector) for group in range(5))
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def sequences_of(lengths: list[int]) -> Sequences:
    return Sequences.of(Lists.of(tf.cast(tf.sequence_mask(lengths), tf.int32)))


def test_self_attention() -> None:
    layer, rows = SelfAttention(4, 2, "layer"), tf.RaggedTensor.from_row_lengths(normal(7, 4), [3, 0, 4])
    found = rows.with_values(layer(rows.values, sequences_of([3, 0, 4])))
    project, output = (weight.numpy() for weight in layer.weights)
    for case in (0, 2):
        x = rows[case].numpy()
        query, key, value = (x @ part for part in np.split(project, 3, axis=1))
        heads = []
        for head in (slice(0, 2), slice(2, 4)):
            heads.append(softmax(query[:, head] @ key[:, head].T / 2**0.5) @ value[:, head])
        assert found[case].numpy() == pytest.approx(np.concatenate(heads, 1) @ output, abs=1e-5)


@pytest.mark.parametrize("zero_vector", [True, False])
def test_queries_that_ask_self_attention(zero_vector: bool) -> None:
    rows, queries, sequences = normal(7, 4), normal(2, 3, 4), sequences_of([3, 4])
    layer, asked = SelfAttention(4, 2, "layer"), AskedSelfAttention(4, 2, "asked")
    asked(queries, rows, sequences, zero_vector), layer(rows, sequences)
    layer.set_weights(asked.get_weights())
    found = asked(queries, rows, sequences, zero_vector)
    there = sequences.side_by_side(layer(rows, sequences))
    expected = query_attention(queries, there, sequences.mask, zero_vector)
    assert found.numpy() == pytest.approx(expected.numpy(), abs=1e-5)


def test_the_transformer_sees_order() -> None:
    layer = TransformerBlock(4, 2, 8, longest=5, name="block")
    words, sequences = normal(3, 4), sequences_of([3])
    layer(words, sequences)
    layer.weights[0].assign(normal(*layer.weights[0].shape))
    assert not np.allclose(layer(words, sequences).numpy(), layer(words[::-1], sequences).numpy()[::-1], atol=1e-3)


def test_the_transformer_reads_each_sequence_by_itself() -> None:
    layer = TransformerBlock(4, 2, 8, longest=3, name="block")
    one, other = normal(3, 4), normal(2, 4)
    layer(one, sequences_of([3]))
    layer.weights[0].assign(normal(*layer.weights[0].shape))
    both = layer(np.concatenate([one, other]), sequences_of([3, 0, 2])).numpy()
    assert both[:3] == pytest.approx(layer(one, sequences_of([3])).numpy(), abs=1e-5)
    assert both[3:] == pytest.approx(layer(other, sequences_of([2])).numpy(), abs=1e-5)


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide 4 dimensions"):
        SelfAttention(4, 3, "layer")
