"""The softmax and the hinge against sums written out."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from tests.trainer.losses.case import Case
from trainer.config import LossConfig


def softmax(case: Case, catalog: bool, in_batch: bool, corrected: bool, mask_hits: bool, temperature: float) -> float:
    total, weights = 0.0, 0.0
    for request, positive, weight in case.positives():
        own = {item for r, item, _ in case.positives() if r == request}

        def logit(item: int, request: int = request) -> float:
            off = case.correction(item, catalog, in_batch) if corrected else 0.0
            return case.score(request, item) / temperature - off

        others = [
            logit(item)
            for owner, item in case.pool(catalog, in_batch)
            if not (item in own if mask_hits else owner == request)
        ]
        total -= weight * math.log(math.exp(logit(positive)) / sum(map(math.exp, [logit(positive), *others])))
        weights += weight
    return total / weights


@pytest.mark.parametrize("corrected, mask_hits", itertools.product([True, False], repeat=2))
@pytest.mark.parametrize("catalog, in_batch", [(True, True), (True, False), (False, True)])
def test_softmax(case: Case, catalog: bool, in_batch: bool, corrected: bool, mask_hits: bool) -> None:
    config = LossConfig(
        catalog_negatives=7 * catalog,
        in_batch=in_batch,
        correction=corrected,
        mask_accidental_hits=mask_hits,
        temperature=1.7,
    )
    expected = softmax(case, catalog, in_batch, corrected, mask_hits, 1.7)
    assert case.loss(config)["retrieval"] == pytest.approx(expected, rel=1e-5)


def test_a_stage_of_weight_0_is_no_positive(case: Case) -> None:
    config = LossConfig(stage_weights={"ordered": 1.0, "clicked": 0.0}, correction=False)
    own, query = 7, case.queries[1]
    others = [item for item in [*case.catalog, own] if item != own]
    expected = math.log1p(sum(math.exp(query @ (case.table[i] - case.table[own])) for i in others))
    assert case.loss(config)["retrieval"] == pytest.approx(expected, rel=1e-5)


def test_hinge(case: Case) -> None:
    total, weights = 0.0, 0.0
    for request, positive, weight in case.positives():
        own = {item for r, item, _ in case.positives() if r == request}
        others = [item for _, item in case.pool(True, True) if item not in own]
        gaps = [max(0.0, 0.7 - case.score(request, positive) + case.score(request, item)) for item in others]
        total, weights = total + weight * np.mean(gaps), weights + weight
    assert case.loss(LossConfig(kind="hinge", hinge_margin=0.7))["retrieval"] == pytest.approx(
        total / weights, rel=1e-5
    )
