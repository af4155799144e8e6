"""Metrics against plain counting."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainer.evaluation import metrics
from trainer.evaluation.eval_requests import Lists

NAN = math.nan


def lists(*parts: list) -> Lists:
    return Lists(np.array([one for part in parts for one in part]), np.cumsum([0, *map(len, parts)]))


@given(st.data())
def test_recall_and_ndcg_are_what_counting_gives(data: st.DataObject) -> None:
    k, depth, items = data.draw(st.integers(1, 6)), 6, 12
    requests = data.draw(st.integers(1, 4))
    rows = np.array([data.draw(st.permutations(range(items)))[:depth] for _ in range(requests)])
    wanted = [data.draw(st.lists(st.integers(-1, items - 1), unique=True, max_size=5)) for _ in range(requests)]
    targets = lists(*wanted)
    targets = Lists(targets.values.astype(np.int64), targets.splits)
    owners, ranks = metrics.hits(rows, targets)
    recall = metrics.recall(ranks, owners, targets.values >= 0, requests, k)
    ndcg = metrics.ndcg(ranks, owners, targets.values >= 0, requests, k)
    for request, mine in enumerate(wanted):
        live = [one for one in mine if one >= 0]
        if not live:
            assert math.isnan(recall[request]) and math.isnan(ndcg[request])
            continue
        found = [place for place, row in enumerate(rows[request][:k]) if row in live]
        assert recall[request] == pytest.approx(len(found) / len(live))
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(live))))
        assert ndcg[request] == pytest.approx(sum(1 / math.log2(place + 2) for place in found) / ideal)


def test_pairs_in_order() -> None:
    stages = {"ordered": lists([1], []), "clicked": lists([2, 3], [4]), "shown": lists([5], [6])}
    scores = {"ordered": np.array([2.0]), "clicked": np.array([1.0, 2.0, 5.0]), "shown": np.array([1.5, NAN])}
    found = metrics.pairwise_accuracy(stages, scores, 2)
    # request 0: ordered 2.0 beats 1.0 and ties with 2.0; beats shown 1.5; of the clicked one of two beats 1.5
    assert found["ordered>clicked"][0] == 0.75
    assert found["ordered>shown"][0] == 1.0
    assert found["clicked>shown"][0] == 0.5
    assert all(math.isnan(values[1]) for values in found.values())  # nothing ordered, and what was shown is gone


def test_coverage_and_popularity() -> None:
    rows = np.array([[0, 1, -1], [1, 2, 3]])
    assert metrics.coverage(rows, 8, 2) == pytest.approx(3 / 8)
    # counts 0, 0, 4, 9: the two unseen share the percentile 1/4, the others have 2.5/4 and 3.5/4
    assert metrics.popularity(rows, np.array([0, 0, 4, 9]), 3) == pytest.approx([0.25, (0.25 + 0.625 + 0.875) / 3])
