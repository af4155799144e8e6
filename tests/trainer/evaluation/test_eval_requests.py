"""Which segments a request belongs to."""

from __future__ import annotations

from preprocessing.data.features import HORIZONS
from trainer.data.dataset import requests
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.eval_requests import PAST_ELSEWHERE, POSITIVE_STAGES, EvalRequests


def test_a_past_is_elsewhere_where_none_of_its_leaves_was_chosen(data: str) -> None:
    found = EvalRequests(data, Catalogue(data), None).segments[PAST_ELSEWHERE].tolist()
    past, chosen = ([f"{one}_leaf" for one in names] for names in (HORIZONS, POSITIVE_STAGES))
    expected = []
    for batch in requests(data, "eval", 1, {*past, *chosen}):
        leaves, wanted = ({leaf for name in names for leaf in batch[name].values.numpy()} for names in (past, chosen))
        expected.append(bool(leaves) and not leaves & wanted)
    assert found == expected and any(found) and not all(found)
