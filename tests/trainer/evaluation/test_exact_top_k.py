"""Exact search against sorting."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainer.config import TrainerConfig
from trainer.data.dataset import catalog
from trainer.evaluation.exact_top_k import exact_top_k, item_vectors
from trainer.job.restore import TrainedTowers
from trainer.models.build import build_model


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 7), st.integers(1, 40), st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**31))
def test_blocks_give_the_exact_best(queries: int, items: int, k: int, block: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    asked = random.normal(size=[queries, 4]).astype(np.float32)
    vectors = random.normal(size=[items, 4]).astype(np.float32)
    found = exact_top_k(asked, vectors, k, memory=1, block=block)  # one request at a time
    assert found.rows.shape == (queries, k)
    for query, rows, scores in zip(asked, found.rows, found.scores, strict=True):
        exact = vectors @ query
        there = rows >= 0
        assert there.sum() == min(k, items) and len(set(rows[there])) == there.sum()
        assert exact[rows[there]] == pytest.approx(np.sort(exact)[::-1][: there.sum()], abs=1e-5)
        assert scores[there] == pytest.approx(exact[rows[there]], abs=1e-5) and np.isneginf(scores[~there]).all()


def test_vectors_past_the_memory_lie_in_a_file(config: Callable[..., TrainerConfig], data: str, spec: dict) -> None:
    towers = TrainedTowers(build_model(config("dnn"), spec))
    held, filed = (item_vectors(towers, data, spec["items"], memory) for memory in (10**9, 0))
    assert isinstance(filed, np.memmap) and not isinstance(held, np.memmap)
    assert np.array_equal(held, filed)
    items = next(iter(catalog(data, spec["items"])))
    assert held == pytest.approx(towers.item(items).numpy(), abs=1e-6)
    queries = held[:3] + 1
    assert all(
        np.array_equal(*both)
        for both in zip(*(exact_top_k(queries, one, 5, 10**6) for one in (held, filed)), strict=True)
    )
