"""Fusion against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from trainer.towers.fusion import ClsFusion

DRAW = np.random.default_rng(9)


def softmax(scores: np.ndarray) -> np.ndarray:
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return shares / shares.sum(-1, keepdims=True)


def normal(*shape: int) -> np.ndarray:
    return DRAW.normal(size=shape).astype(np.float32)


def test_fusion_is_whole_self_attention_read_at_cls() -> None:
    layer, rows = ClsFusion(4, 2), normal(3, 5, 4)
    found = layer(tf.constant(rows)).numpy()
    cls, *matrices, output = (weight.numpy() for weight in layer.weights)
    for case in range(3):
        x = np.concatenate([cls[None], rows[case]])
        heads = []
        for query, key, value in zip(*matrices, strict=True):
            heads.append(softmax((x @ query) @ (x @ key).T / 2**0.5) @ (x @ value))
        assert found[case] == pytest.approx((np.concatenate(heads, 1) @ output)[0], abs=1e-5)


def test_heads_that_do_not_divide() -> None:
    with pytest.raises(ValueError, match="fusion: 3 heads do not divide 4 dimensions"):
        ClsFusion(4, 3)
