"""From a config and a data folder's spec to a model."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from preprocessing.command.console import UserError
from trainer.config import TrainerConfig
from trainer.config_models import HorizonsConfig, ItemAttributesConfig, TablesConfig
from trainer.data.training_data import empty_batch
from trainer.losses.objective import Objective
from trainer.models.dnn import DnnItemTower, DnnQueryTower
from trainer.models.mgdspr import MgdsprItemTower, MgdsprQueryTower
from trainer.models.mmse import MmseItemTower, MmseQueryTower
from trainer.models.tfrs_tutorial import BagOfWords, IdAndTitle
from trainer.models.two_tower import TwoTower
from trainer.towers.embeddings import Tables
from trainer.towers.noise import Noise


def build_model(config: TrainerConfig, spec: dict[str, Any], word_vectors: np.ndarray | None = None) -> TwoTower:
    """The model that `config.model` names, with all its variables made.

    Args:
      config: the `trainer:` section of an experiment.
      spec: of the data folder, as `preprocessing.data.spec.read_spec` gives it.
      word_vectors: the rows of `trainer.job.outside_words.outside_words`, where the config names vectors of words.
    """
    noise = Noise(config.seed)
    if config.word_table.vectors and word_vectors is None:
        raise UserError(f"trainer.{config.model}.tables.word.vectors is set: give build_model its word_vectors")
    query_tower, item_tower = _TOWERS[config.model](config, spec, noise, word_vectors)
    objective = Objective(config.loss, int(spec["items"]), noise, spec["click_rates"])
    model = TwoTower(query_tower, item_tower, objective, noise)
    batch = empty_batch(spec, model.request_columns, model.item_columns)
    query_tower(batch["requests"])
    item_tower(batch["catalog"])
    return model


def _mgdspr(
    config: TrainerConfig, spec: dict[str, Any], noise: Noise, word_vectors: np.ndarray | None
) -> tuple[Any, Any]:
    model = config.mgdspr
    names = {*model.grains.grams, *model.item.title_grams, *_attribute_tables(model.item)}
    names |= _behaviour_tables(model.horizons)
    tables = Tables(spec, _widths(names, model.dim, model.tables), noise, model.tables.item, word_vectors)
    return MgdsprQueryTower(tables, model, noise, spec["text"]["max_words"]), MgdsprItemTower(tables, model)


def _mmse(
    config: TrainerConfig, spec: dict[str, Any], noise: Noise, word_vectors: np.ndarray | None
) -> tuple[Any, Any]:
    model = config.mmse
    names: set[str] = {*model.grains.grams}
    behaviours = _behaviour_tables(model.horizons)
    if behaviours or model.grains.mix:
        names |= behaviours | _attribute_tables(model.item)
    tables = Tables(spec, _widths(names, model.dim, model.tables), noise, model.tables.item, word_vectors)
    query_tower = MmseQueryTower(tables, model, noise, spec["text"]["max_words"])
    return query_tower, MmseItemTower(tables, model, query_tower)


def _dnn(config: TrainerConfig, spec: dict[str, Any], noise: Noise, word_vectors: np.ndarray | None) -> tuple[Any, Any]:
    model = config.dnn
    names = {*model.query_grams, *model.title_grams, *model.attributes}
    tables = Tables(spec, _widths(names, model.dim, model.tables), noise, model.tables.item, word_vectors)
    return DnnQueryTower(tables, model), DnnItemTower(tables, model)


def _tfrs(
    config: TrainerConfig, spec: dict[str, Any], noise: Noise, word_vectors: np.ndarray | None
) -> tuple[Any, Any]:
    del word_vectors  # the tutorial has none
    dim = config.tfrs.dim
    tables = Tables(spec, {"word": dim, "item": dim}, noise, config.tfrs.tables.item)
    return BagOfWords(tables, dim), IdAndTitle(tables, dim)


def _widths(names: Iterable[str], dim: int, narrow: TablesConfig) -> dict[str, int]:
    own = narrow.model_dump(exclude={"word", "item"})
    return {name: own.get(name, dim) for name in names}


def _behaviour_tables(horizons: HorizonsConfig) -> set[str]:
    names: set[str] = set(horizons.long.attributes) if horizons.long.on else set()
    if horizons.realtime.on or horizons.short.on:
        names |= set(horizons.attributes)
    return names


def _attribute_tables(item: ItemAttributesConfig) -> set[str]:
    return {*(["item"] if item.id else []), *item.side}


_TOWERS = {"mgdspr": _mgdspr, "mmse": _mmse, "dnn": _dnn, "tfrs": _tfrs}
