"""The attention layers against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.towers.attention import SelfAttention, TransformerBlock, masked_softmax, query_attention

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


def test_self_attention() -> None:
    layer, rows = SelfAttention(4, 2, "layer"), tf.RaggedTensor.from_row_lengths(normal(7, 4), [3, 0, 4])
    found = layer(rows.to_tensor(1e3), tf.sequence_mask(rows.row_lengths()))
    project, output = (weight.numpy() for weight in layer.weights)
    for case in (0, 2):
        x = rows[case].numpy()
        query, key, value = (x @ part for part in np.split(project, 3, axis=1))
        heads = []
        for head in (slice(0, 2), slice(2, 4)):
            heads.append(softmax(query[:, head] @ key[:, head].T / 2**0.5) @ value[:, head])
        assert found[case].numpy()[: len(x)] == pytest.approx(np.concatenate(heads, 1) @ output, abs=1e-5)


def test_the_transformer_sees_order() -> None:
    layer = TransformerBlock(4, 2, 8, longest=5, name="block")
    words, mask = normal(1, 3, 4), tf.ones([1, 3], tf.bool)
    layer(words, mask)
    layer.weights[0].assign(normal(*layer.weights[0].shape))
    backwards = words[:, ::-1]
    assert not np.allclose(layer(words, mask).numpy(), layer(backwards, mask).numpy()[:, ::-1], atol=1e-3)


def test_the_transformer_skips_places_that_hold_nothing() -> None:
    layer = TransformerBlock(4, 2, 8, longest=3, name="block")
    words = normal(1, 3, 4)
    layer(words, tf.ones([1, 3], tf.bool))
    layer.weights[0].assign(normal(*layer.weights[0].shape))
    whole = layer(words, tf.ones([1, 3], tf.bool)).numpy()
    apart = np.insert(words, [0, 2, 3], 1e3, axis=1)
    found = layer(apart, tf.constant([[False, True, True, False, True, False]])).numpy()
    assert found[:, [1, 2, 4]] == pytest.approx(whole, abs=1e-5)


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="3 heads do not divide 4 dimensions"):
        SelfAttention(4, 3, "layer")
