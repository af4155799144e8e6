"""The `trainer:` section: what cannot train is refused at the door, with the reason."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from trainer.config import LossConfig, TrainerConfig


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({"mgdspr": {"grains": {"grams": ["char"]}}}, "grams must hold 'word'"),
        ({"mgdspr": {"item": {"id": False, "side": [], "title_grams": []}}}, "nothing of the item is left"),
        ({"mmse": {"item": {"id": False, "side": []}}}, "item.id and item.side are off"),
        ({"dnn": {"behaviours": True}}, "behaviours are read by attributes: name some"),
        ({"loss": {"stage_weights": {"ordered": 0, "clicked": 0}}}, "stage_weights leave no positive"),
        ({"loss": {"kind": "tfrs", "in_batch": False}}, "kind 'tfrs' draws its negatives in-batch"),
        ({"loss": {"kind": "hinge", "levels": {"click": 1}}}, "levels are compared by a softmax each"),
        ({"loss": {"levels": {"click": 0}}}, "greater than 0"),
        ({"loss": {"in_batch": False, "catalog_negatives": 0}}, "no negatives are left"),
        ({"loss": {"ranking": {"weight": 1, "random_items": 99}, "catalog_negatives": 9}}, "at least as many"),
        ({"loss": {"hard_negatives": {"alpha": [0.6, 0.4]}}}, "alpha must be 0 <= a < b <= 1, got [0.6, 0.4]"),
    ],
)
def test_what_cannot_train(section: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as mistake:
        TrainerConfig.model_validate(section)
    assert said in str(mistake.value)


def test_ranking_without_random_items_needs_no_shared_negatives() -> None:
    ranking = {"weight": 1, "random_items": 99, "pairs": {"ordered>clicked": [0.5, 1.0]}}
    config = TrainerConfig.model_validate({"loss": {"ranking": ranking, "catalog_negatives": 9}})
    assert config.loss.ranking.random_items == 99


def test_the_librarys_task_takes_no_shared_negatives() -> None:
    assert LossConfig(catalog_negatives=7).shared_negatives == 7
    assert LossConfig(kind="tfrs", catalog_negatives=7).shared_negatives == 0
