"""A job that goes on from another: the same vectors before its first step, whatever ids the strings have now."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.data.spec import read_spec
from preprocessing.text.vocabulary_files import known_words
from tests.trainer.conftest import flags, write_config
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, requests
from trainer.job.job_folder import Job
from trainer.job.restore import TrainedTowers, restore
from trainer.task import main, train
from trainer.training.distribution import placement_of
from trainer.training.loop import Trainer

Config = Callable[..., TrainerConfig]
MODELS = {
    "mgdspr": ("mgdspr.item.side=[brand, shop, leaf, top, price]",),
    "mmse": (),
    "dnn": ("dnn.attributes=[item, leaf]", "dnn.behaviours=true"),
    "tfrs": (),
}
FIXED = ("mgdspr.tables.item.hashed_rows=30",)  # rows that unknown items share, whatever the vocabulary has become
CASES = [*MODELS.items(), ("mgdspr", FIXED)]


def _started(config: TrainerConfig, data: str, folder: Path) -> Trainer:
    """A job that is begun, and has made no step."""
    tf.keras.utils.set_random_seed(config.seed)
    trainer = Trainer(config, data, Job(str(folder)), placement_of(config.distribution), read_spec(data))
    assert trainer.begin() == 0
    return trainer


def _spelled(data: str, column: str, values: Any) -> list[Any]:
    """A column's rows, their ids as strings; those of unknown strings as the hashes that they are."""
    name, spec = column.rsplit("_", 1)[-1], read_spec(data)
    rows = values.to_list() if isinstance(values, tf.RaggedTensor) else values.numpy().tolist()
    if name not in spec["vocabularies"] or name == "price":
        return rows
    words: list[Any] = [*range(1 + spec["vocabularies"][name]["hash_buckets"]), *known_words(data, name)]

    def spell(node: Any) -> Any:
        return [spell(one) for one in node] if isinstance(node, list) else words[node]

    return [spell(row) for row in rows]


def _vectors(
    data: str, batches: Iterable[dict[str, Any]], key: str, columns: set[str], embed: Callable[..., tf.Tensor]
) -> dict[tuple[bytes, str], np.ndarray]:
    """Vectors by name and by all that they are made of, in words."""
    found: dict[tuple[bytes, str], np.ndarray] = {}
    for batch in batches:
        parts = [_spelled(data, column, batch[column]) for column in sorted(columns)]
        texts = [repr(one) for one in zip(*parts, strict=True)]
        found |= dict(zip(zip(batch[key].numpy(), texts, strict=True), embed(batch).numpy(), strict=True))
    return found


def _all_vectors(data: str, towers: TrainedTowers) -> tuple[dict[Any, np.ndarray], dict[Any, np.ndarray]]:
    items = catalog(data, 500, towers.item_columns | {"item_id"})
    asked = requests(data, "train", 500, towers.request_columns | {"request_id"})
    return (
        _vectors(data, items, "item_id", towers.item_columns, towers.item),
        _vectors(data, asked, "request_id", towers.request_columns, towers.query),
    )


def _are_new(name: str, data: str, earlier: str) -> np.ndarray:
    """Of each string of a vocabulary whether the earlier one lacks it."""
    before = set(known_words(earlier, name))
    return np.array([word not in before for word in known_words(data, name)])


@pytest.mark.parametrize(("model", "parts"), CASES)
def test_before_the_first_step_the_vectors_are_the_same(
    model: str, parts: tuple[str, ...], data: str, earlier: str, config: Config, tmp_path: Path
) -> None:
    """Those of items and requests that are the same words in both folders, though not the same ids."""
    train(config(model, *parts, "training.steps=12"), earlier, str(tmp_path / "before"))
    trainer = _started(config(model, *parts, f"init.job={tmp_path / 'before'}"), data, tmp_path / "after")
    before = _all_vectors(earlier, restore(str(tmp_path / "before"), earlier))
    after = _all_vectors(data, TrainedTowers(trainer.model))
    assert known_words(earlier)[:50] != known_words(data)[:50], "ids have changed"
    for one, other in zip(before, after, strict=True):
        both = sorted(one.keys() & other.keys())
        assert len(both) > 100
        np.testing.assert_allclose([other[key] for key in both], [one[key] for key in both], atol=1e-6)


def test_new_strings_start_as_they_would_anyway(data: str, earlier: str, config: Config, tmp_path: Path) -> None:
    train(config("tfrs", "training.steps=4"), earlier, str(tmp_path / "before"))
    fresh = _started(config("tfrs"), data, tmp_path / "fresh").model.query_tower.tables
    settings = config("tfrs", f"init.job={tmp_path / 'before'}")
    tables = _started(settings, data, tmp_path / "after").model.query_tower.tables
    for name, row, own in zip(tables.names, tables.embeddings, fresh.embeddings, strict=True):
        new = _are_new(name, data, earlier)
        kept = (row.numpy() == own.numpy()).all(axis=1)[-len(new) :]
        assert new.any() and not new.all() and kept.tolist() == new.tolist()


@pytest.mark.parametrize("dense", ["adam", "adagrad"])
def test_the_optimizer_goes_on_or_starts_anew(
    dense: str, data: str, earlier: str, config: Config, tmp_path: Path
) -> None:
    sets = (f"optimizer.dense={dense}", f"init.job={tmp_path / 'before'}")
    train(config("dnn", sets[0], "training.steps=12"), earlier, str(tmp_path / "before"))
    trainer = _started(config("dnn", *sets), data, tmp_path / "on")
    goes_on = trainer._optimizer
    anew = _started(config("dnn", *sets, "init.optimizer=false"), data, tmp_path / "anew")._optimizer
    never = _started(config("dnn", sets[0]), data, tmp_path / "never")._optimizer
    assert int(goes_on.iterations) == 12 == int(goes_on.begun) and int(anew.iterations) == 0
    for one, other in zip(anew.weights, never.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(tmp_path / "before/checkpoints/last")))
    names = {name for name in reader.get_variable_to_shape_map() if name.startswith("optimizers/_adam/_variables")}
    last = [reader.get_tensor(name) for name in names]
    for weight in goes_on.of_dense.variables[1:]:
        assert any(one.shape == weight.shape and np.array_equal(one, weight) for one in last)
    for name, sums in zip(trainer.model.query_tower.tables.names, goes_on.of_tables.variables[1:], strict=True):
        new = _are_new(name, data, earlier)
        assert (sums.numpy() != np.float32(0.1)).any() and (sums.numpy()[-len(new) :][new] == np.float32(0.1)).all()
    assert float(goes_on.dense_rate(goes_on.iterations)) == float(never.dense_rate(0)), "the warm-up begins again"


def test_resumed_in_the_middle_it_ends_in_the_same_weights(data: str, earlier: str, tmp_path: Path) -> None:
    settings = write_config(tmp_path, model="dnn", training={"steps": 8, "steps_per_call": 2})
    main(list(flags(settings, earlier, tmp_path / "before")))
    going_on = ("--init-from", str(tmp_path / "before"), "--older", data)
    every = "training.checkpoint_every_steps=4"
    main([*flags(settings, data, tmp_path / "whole", every), *going_on])
    main([*flags(settings, data, tmp_path / "cut", every), *going_on])
    last = tmp_path / "cut/checkpoints/last"
    for file in last.glob("ckpt-8.*"):
        file.unlink()
    (last / "checkpoint").write_text('model_checkpoint_path: "ckpt-4"\nall_model_checkpoint_paths: "ckpt-4"\n')
    main([*flags(settings, data, tmp_path / "cut", every), *going_on])
    whole, cut = (restore(str(tmp_path / name), data) for name in ("whole", "cut"))
    batch = next(iter(catalog(data, 64, whole.item_columns)))
    np.testing.assert_array_equal(whole.item(batch), cut.item(batch))


def test_what_it_goes_on_from_may_stay_the_best(data: str, earlier: str, config: Config, tmp_path: Path) -> None:
    train(config("dnn", "training.steps=24"), earlier, str(tmp_path / "before"))
    worse = (
        "optimizer.dense_rate=5",
        "optimizer.embedding_rate=50",
        "optimizer.clip_norm=0",
        "optimizer.warmup_steps=0",
    )
    train(config("dnn", f"init.job={tmp_path / 'before'}", *worse), data, str(tmp_path / "after"))
    assert Job(str(tmp_path / "after")).best_checkpoint().endswith("-0")
