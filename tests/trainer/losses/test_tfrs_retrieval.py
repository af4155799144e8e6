"""TFRS's own task, with several positives a request."""

from __future__ import annotations

import math

import pytest

from tests.trainer.losses.case import Case
from trainer.config import LossConfig


def test_the_library_task(case: Case) -> None:
    """One row a positive; items of the same request, and the same item elsewhere, are no negatives."""
    total, weights, positives = 0.0, 0.0, case.positives()
    for number, (request, item, weight) in enumerate(positives):
        others = [
            case.score(request, other)
            for place, (owner, other, _) in enumerate(positives)
            if place != number and owner != request and other != item
        ]
        own = case.score(request, item)
        total += weight * math.log(sum(map(math.exp, [own, *others])) / math.exp(own))
        weights += weight
    found = case.loss(LossConfig(kind="tfrs", correction=False, catalog_negatives=0))["retrieval"]
    assert found == pytest.approx(total / weights, rel=1e-5)
