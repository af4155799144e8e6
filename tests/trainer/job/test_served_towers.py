"""The served towers give what the model gives for the same records."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, requests
from trainer.job.job_folder import Job
from trainer.job.restore import TrainedTowers, restore
from trainer.job.served_towers import write_towers
from trainer.models.build import build_model

_SCALARS = ("request_id", "user_id", "query", "ts")
Signature = Callable[..., dict[str, tf.Tensor]]


FIXED = [("mgdspr", "mgdspr.tables.item.hashed_rows=20"), ("mmse", "mmse.tables.item={hashed_rows: 20, hashes: 3}")]
FIXED += [("dnn", "dnn.attributes=[item]", "dnn.behaviours=true", "dnn.tables.item.hashed_rows=20")]
FIXED += [("tfrs", "tfrs.tables.item.hashed_rows=20")]


@pytest.fixture(scope="module", params=[("mgdspr",), ("mmse",), ("dnn",), ("tfrs",), *FIXED], ids=" ".join)
def job(request: pytest.FixtureRequest, config: Callable[..., TrainerConfig], data: str, spec: dict, tmp_path_factory):
    """A job of a model that was never trained, but saved and exported as one."""
    settings, folder = config(*request.param), Job(str(tmp_path_factory.mktemp("job") / "job"))
    folder.begin(settings, data)
    model = build_model(settings, spec)
    for variable in model.trainable_variables:
        variable.assign_add(np.random.default_rng(1).normal(size=variable.shape, scale=0.1).astype(np.float32))
    tf.train.CheckpointManager(tf.train.Checkpoint(model=model), folder.best_checkpoints, 1).save()
    write_towers(folder, data)
    return folder


@pytest.fixture(scope="module")
def towers(job: Job, data: str) -> TrainedTowers:
    return restore(job.path, data)


def signature(job: Job, tower: str, name: str) -> Signature:
    loaded = tf.saved_model.load(f"{job.towers}/{tower}")
    served = loaded.signatures[name]
    served.kept_alive = loaded
    return served


def dense(batch: dict[str, Any], columns: Collection[str]) -> dict[str, tf.Tensor]:
    """Columns of parsed records as a server has them: int32, padded with 0."""
    found = {name: batch[name] for name in columns}
    padded = {name: ids.to_tensor() if isinstance(ids, tf.RaggedTensor) else ids for name, ids in found.items()}
    return {name: tf.cast(ids, tf.int32) for name, ids in padded.items()}


def test_the_query_tower(job: Job, towers: TrainedTowers, data: str) -> None:
    served = signature(job, "query", "embed")
    assert set(served.structured_input_signature[1]) == towers.request_columns
    for split in ("train", "validation", "eval"):
        batch = next(iter(requests(data, split, 60)))
        found = served(**dense(batch, towers.request_columns))["embedding"].numpy()
        assert found.shape == (len(batch["query"]), towers.dim) and found.dtype == np.float32
        assert found == pytest.approx(towers.query(batch).numpy(), abs=1e-5)


def test_the_query_alone_is_that_of_a_user_without_a_past(job: Job, towers: TrainedTowers, data: str) -> None:
    served = signature(job, "query", "embed_query_alone")
    columns = {name for name in towers.request_columns if name.startswith("query_")}
    assert set(served.structured_input_signature[1]) == columns
    batch = next(iter(requests(data, "eval", 60)))
    nobody = {name: ids if name in columns else ids[:, :0] for name, ids in batch.items() if name not in _SCALARS}
    found = served(**dense(batch, columns))["embedding"].numpy()
    assert found == pytest.approx(towers.query(nobody).numpy(), abs=1e-5)


def test_the_item_tower(job: Job, towers: TrainedTowers, data: str) -> None:
    served = signature(job, "item", "embed")
    assert set(served.structured_input_signature[1]) == towers.item_columns
    for batch in catalog(data, 200):
        found = served(**dense(batch, towers.item_columns))["embedding"].numpy()
        assert found == pytest.approx(towers.item(batch).numpy(), abs=1e-5)


def test_nothing_is_an_error(job: Job, towers: TrainedTowers) -> None:
    """No text and lists of no width."""
    served = signature(job, "query", "embed")
    inputs = {name: one.shape for name, one in served.structured_input_signature[1].items()}
    one = served(**{name: tf.zeros([3] + [2] * (len(shape) - 1), tf.int32) for name, shape in inputs.items()})
    narrow = served(**{name: tf.zeros([3] + [0] * (len(shape) - 1), tf.int32) for name, shape in inputs.items()})
    assert np.all(np.isfinite(one["embedding"]))
    assert one["embedding"].numpy() == pytest.approx(narrow["embedding"].numpy(), abs=1e-5)


def test_what_ids_are_made_by_lies_beside_them(job: Job, towers: TrainedTowers, data: str, spec: dict) -> None:
    names = {name.rsplit("_", 1)[-1] for name in towers.request_columns | towers.item_columns}
    files = {path.stem: path.read_bytes() for path in Path(job.towers, "vocab").iterdir()}
    assert files == {name: Path(data, "vocab", f"{name}.txt").read_bytes() for name in names}
    encoding = json.loads(Path(job.towers, "encoding.json").read_text())
    assert encoding["text"] == {name: spec["text"][name] for name in ("max_chars", "max_words")}
    for name, one in encoding["vocabularies"].items():
        assert one == {part: spec["vocabularies"][name][part] for part in ("hash_buckets", "ids")}
    assert {path.name for path in Path(job.path).iterdir()} >= {"config.yaml", "checkpoints", "towers"}
    assert not Path(f"{job.towers}.part").exists()
