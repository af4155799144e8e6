"""The served towers read strings as training read records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.data.features import HORIZONS
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, requests
from trainer.job.job_folder import Job
from trainer.job.restore import TrainedTowers, restore
from trainer.job.served_towers import ITEM_INPUTS, PLURALS, item_inputs, query_inputs, write_towers
from trainer.models.build import build_model

Signature = Callable[..., dict[str, tf.Tensor]]


class Words:
    """From ids back to strings; for a hash bucket, a made-up word that falls into it."""

    def __init__(self, data: str, spec: dict[str, Any], name: str) -> None:
        self._known = Path(data, f"vocab/{name}.txt").read_text().splitlines()
        self._buckets = spec["vocabularies"][name]["hash_buckets"]
        made_up = [f"zq{'abcdefghij'[n % 10]}{n}x" for n in range(40 * self._buckets)]
        buckets = tf.strings.to_hash_bucket_fast(made_up, self._buckets).numpy() + 1
        self._unknown = dict(zip(buckets.tolist(), made_up, strict=True))

    def of(self, number: int) -> str:
        if number > self._buckets:
            return self._known[number - self._buckets - 1]
        return self._unknown[number] if number else ""


@pytest.fixture(scope="module", params=["mgdspr", "mmse", "dnn", "tfrs"])
def job(request: pytest.FixtureRequest, config: Callable[..., TrainerConfig], data: str, spec: dict, tmp_path_factory):
    """A job of a model that was never trained, but saved and exported as one."""
    settings, folder = config(request.param), Job(str(tmp_path_factory.mktemp("job") / "job"))
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


def signature(job: Job, tower: str) -> Signature:
    loaded = tf.saved_model.load(f"{job.towers}/{tower}")
    served = loaded.signatures["serving_default"]
    served.kept_alive = loaded
    return served


def padded(rows: list[list[str]]) -> tf.Tensor:
    return tf.ragged.constant(rows, dtype=tf.string, ragged_rank=1).to_tensor("")


def raw_requests(data: str, spec: dict[str, Any], batch: dict[str, Any]) -> dict[str, tf.Tensor]:
    """The strings behind a batch of requests."""
    words = {name: Words(data, spec, name) for name in (*PLURALS, "word")}
    inputs = {"query": batch["query"]}
    history = batch["history_word"].to_list()
    inputs["history_queries"] = padded([[" ".join(map(words["word"].of, query)) for query in row] for row in history])
    for horizon in HORIZONS:
        for name, plural in PLURALS.items():
            rows = batch[f"{horizon}_{name}"].to_list()
            inputs[f"{horizon}_{plural}"] = padded([[words[name].of(number) for number in row] for row in rows])
    return inputs


def test_the_query_tower(job: Job, towers: TrainedTowers, data: str, spec: dict[str, Any]) -> None:
    served = signature(job, "query")
    assert set(served.structured_input_signature[1]) == set(query_inputs())
    for split in ("train", "validation", "eval"):
        batch = next(iter(requests(data, split, 60)))
        found = served(**raw_requests(data, spec, batch))["embedding"].numpy()
        assert found.shape == (60, towers.dim) and found.dtype == np.float32
        assert found == pytest.approx(towers.query(batch).numpy(), abs=1e-5)


def test_the_item_tower(job: Job, towers: TrainedTowers, data: str) -> None:
    served = signature(job, "item")
    assert set(served.structured_input_signature[1]) == set(item_inputs())
    raw = {"item_id": "item_id", "title": "title", "brand": "brand_name", "shop": "shop_name"}
    raw |= {"category_leaf": "leaf_name", "category_top": "top_name"}
    assert {*ITEM_INPUTS.values(), "title"} == set(raw)
    for batch in catalog(data, 200):
        found = served(**{name: batch[column] for name, column in raw.items()})["embedding"].numpy()
        assert found == pytest.approx(towers.item(batch).numpy(), abs=1e-5)


def test_nothing_is_an_error(job: Job) -> None:
    """Empty strings, unknown users and widths of 0 are served."""
    served = signature(job, "query")
    inputs = {name: tf.fill([3] + [2] * (len(one.shape) - 1), "") for name, one in query_inputs().items()}
    inputs["query"] = tf.constant([b"", b"\xff\xfe", "从未见过 neverseen".encode()])
    one = served(**inputs)["embedding"].numpy()
    narrow = {name: value if name == "query" else value[:, :0] for name, value in inputs.items()}
    assert np.all(np.isfinite(one)) and one == pytest.approx(served(**narrow)["embedding"].numpy(), abs=1e-5)
    items = signature(job, "item")(**{name: tf.constant(["", "new"]) for name in item_inputs()})
    assert np.all(np.isfinite(items["embedding"]))


def test_the_vocabularies_travel_along(job: Job, data: str) -> None:
    for tower in ("query", "item"):
        for asset in Path(job.towers, tower, "assets").iterdir():
            assert asset.read_bytes() == Path(data, "vocab", asset.name).read_bytes()
    assert {path.name for path in Path(job.path).iterdir()} >= {"config.yaml", "checkpoints", "towers"}
    assert not Path(f"{job.towers}.part").exists()
