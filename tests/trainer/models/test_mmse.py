"""MMSE's levels: each with a view of the item of its own, and one inner product of them all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.models.shaken import shaken
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, requests
from trainer.job.restore import restore
from trainer.models.build import build_model
from trainer.models.two_tower import TwoTower
from trainer.task import train

Make = Callable[..., TrainerConfig]
INPUTS = {
    "char": {"title_char"},
    "bigram": {"title_bigram"},
    "word": {"title_word"},
    "sequence": {"title_bigram", "title_word"},
    "history": {"title_word"},
    "mix": {"title_char", "title_bigram", "title_word", "item", "brand", "shop", "leaf", "top"},
    **{horizon: {"item", "brand", "shop", "leaf", "top"} for horizon in ("realtime", "short", "long")},
}


@pytest.fixture(scope="module")
def items(data: str) -> dict[str, Any]:
    return next(iter(catalog(data, 30)))


@pytest.fixture(scope="module")
def model(config: Make, spec: dict[str, Any]) -> TwoTower:
    """With the mix, which is off by default: all levels that there may be."""
    return build_model(config("mmse", "mmse.grains.mix=true", "mmse.level_weights=false"), spec)


def views(model: TwoTower, items: dict[str, Any]) -> np.ndarray:
    return model.item_tower.by_level({name: items[name] for name in model.item_columns if name in items}).numpy()


@pytest.mark.parametrize("column", sorted(set.union(*INPUTS.values())))
def test_a_view_is_made_of_its_levels_own_inputs(model: TwoTower, items: dict[str, Any], column: str) -> None:
    levels = [*model.query_tower.grains, *model.query_tower.horizons]
    assert set(levels) == set(INPUTS)
    ids = items[column]
    others = ids.with_values(ids.values * 0 + 1) if isinstance(ids, tf.RaggedTensor) else ids * 0 + 1
    changed = np.abs(views(model, items) - views(model, {**items, column: others})).max(axis=(0, 2)) > 1e-6
    assert dict(zip(levels, changed.tolist(), strict=True)) == {name: column in INPUTS[name] for name in levels}


def test_the_vectors_of_a_trained_job_fill_their_width(
    config: Make, data: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Views that were linear maps of one vector, or of each other, would leave singular values of nothing."""
    job = str(tmp_path_factory.mktemp("mmse") / "job")
    train(config("mmse"), data, job)
    towers = restore(job, data)
    matrix = np.concatenate([towers.item(batch).numpy() for batch in catalog(data, 100, towers.item_columns)])
    assert matrix.shape[0] > 2 * matrix.shape[1] == 2 * towers.dim
    found = np.linalg.svd(matrix, compute_uv=False)
    assert np.mean(found > 1e-3 * found[0]) > 0.9


@pytest.mark.parametrize("normalize", [False, True])
@pytest.mark.parametrize("learned", [False, True])
def test_post_fusion_is_one_inner_product(
    config: Make, data: str, spec: dict[str, Any], items: dict[str, Any], learned: bool, normalize: bool
) -> None:
    """sum_g w_g <q_g, i_g> = <concat sqrt(w_g) q_g, concat sqrt(w_g) i_g>, with every w_g >= 0."""
    switches = (f"mmse.level_weights={str(learned).lower()}", f"mmse.normalize={str(normalize).lower()}")
    model = shaken(build_model(config("mmse", *switches), spec))
    query, item = model.query_tower, model.item_tower
    asked = next(iter(requests(data, "train", 40)))
    weights = query.fusion.weights_by_level.numpy()
    assert len(weights) == query.levels == 8 and np.all(weights >= 0)
    assert learned == (np.ptp(weights) > 0)
    levels = [query.by_level(asked).numpy(), item.by_level(items).numpy()]
    if normalize:
        levels = [level / np.maximum(np.linalg.norm(level, axis=2, keepdims=True), 1e-6) for level in levels]
    by_level = np.einsum("g,bgd,ngd->bn", weights, *levels)
    assert query(asked).numpy() @ item(items).numpy().T == pytest.approx(by_level, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("normalize", [False, True])
def test_fused_representations_are_as_wide_and_mix_the_levels(
    config: Make, data: str, spec: dict[str, Any], items: dict[str, Any], normalize: bool
) -> None:
    switches = ("mmse.fusion=representations", f"mmse.normalize={str(normalize).lower()}")
    model = shaken(build_model(config("mmse", *switches), spec))
    asked = next(iter(requests(data, "train", 40)))
    for tower, features in ((model.query_tower, asked), (model.item_tower, items)):
        vectors, levels = tower(features).numpy(), tower.by_level(features).numpy()
        (matrix,) = (one.numpy() for one in tower.trainable_weights if "fused_representation" in one.name)
        expected = levels.reshape(len(levels), -1) @ matrix
        if normalize:
            expected *= np.sqrt(8) / np.linalg.norm(expected, axis=1, keepdims=True)
        assert vectors.shape[1] == model.query_tower.dim == 8 * 8
        assert vectors == pytest.approx(expected, rel=1e-4, abs=1e-5)
