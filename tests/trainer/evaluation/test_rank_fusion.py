"""Reciprocal ranks, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.exact_top_k import Ranking
from trainer.evaluation.rank_fusion import fused


def test_reciprocal_ranks() -> None:
    one = Ranking(np.array([[5, 7, -1]], np.int32), np.zeros([1, 3], np.float32))
    other = Ranking(np.array([[7, 9, 5]], np.int32), np.zeros([1, 3], np.float32))
    both = fused(one, other)
    # 7: 1/62 + 1/61; 5: 1/61 + 1/63; 9: 1/62
    assert both.rows.tolist() == [[7, 5, 9]]
    assert both.scores[0] == pytest.approx([1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62])
