"""The stream of batches: its order is the seed's alone, whoever reads it and wherever it is resumed."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.features import SCHEMA_VERSION
from preprocessing.data.spec import read_spec
from trainer.config import DataConfig, LossConfig, TrainerConfig
from trainer.data.dataset import catalog, key_of, query_key_of, requests
from trainer.data.training_data import TrainingData

CONFIG = DataConfig(batch=64, shuffle=100, readers=3, prefetch=2)


def training(data: str, seed: int = 1, negatives: int = 32) -> TrainingData:
    config = TrainerConfig(seed=seed, data=CONFIG, loss=LossConfig(catalog_negatives=negatives))
    return TrainingData(data, config, {"request_id", "query_word", "clicked_item_id"}, {"log_prob"})


def steps(data: tf.data.Dataset, count: int) -> list[dict[str, Any]]:
    return [
        {"ids": batch["requests"]["request_id"].numpy().tolist(), "keys": batch["catalog"]["key"].numpy().tolist()}
        for batch in itertools.islice(data, count)
    ]


def test_each_epoch_holds_every_record_once_in_another_order(data: str, spec: dict[str, Any]) -> None:
    count = spec["examples"]["train"]
    whole = training(data)
    needed = -(-2 * count // 64)
    ids = [one for step in steps(whole.batches(0), needed) for one in step["ids"]]
    assert len(set(ids[:count])) == count == len(set(ids[count : 2 * count]))
    assert ids[:count] != ids[count : 2 * count]


def test_negatives_pass_the_whole_catalogue(data: str, spec: dict[str, Any]) -> None:
    keys = [one for step in steps(training(data).batches(0), 13) for one in step["keys"]]
    assert len(keys) >= spec["items"] and len(set(keys[: spec["items"]])) == spec["items"]


@pytest.mark.parametrize("step", [3, 11])  # inside the first epoch, and behind it
def test_it_resumes_at_any_step(data: str, step: int) -> None:
    assert steps(training(data).batches(step), 4) == steps(training(data).batches(0), step + 4)[step:]


def test_the_seed_decides(data: str) -> None:
    assert steps(training(data, seed=1).batches(0), 2) == steps(training(data, seed=1).batches(0), 2)
    assert steps(training(data, seed=1).batches(0), 2) != steps(training(data, seed=2).batches(0), 2)


def test_workers_share_an_epoch(data: str, spec: dict[str, Any]) -> None:
    """Each half of a step, and none what another has."""
    half = spec["examples"]["train"] // 2
    workers = [steps(training(data).batches(0, pipelines=2, pipeline=w, replicas=2), half // 32) for w in (0, 1)]
    assert {len(step["ids"]) for worker in workers for step in worker} == {32}
    assert {len(step["keys"]) for worker in workers for step in worker} == {16}
    ids = [one for worker in workers for step in worker for one in step["ids"]]
    assert len(set(ids)) == len(ids) == 2 * 32 * (half // 32)


def test_replicas_of_one_process_share_the_steps_of_one(data: str) -> None:
    alone = steps(training(data).batches(2), 3)
    together = steps(training(data).batches(2, replicas=2), 6)
    for number, step in enumerate(alone):
        for name in ("ids", "keys"):
            assert step[name] == together[2 * number][name] + together[2 * number + 1][name]


def test_a_worker_resumes_at_any_step(data: str) -> None:
    of_worker = {"pipelines": 2, "pipeline": 1, "replicas": 2}
    whole = steps(training(data).batches(0, **of_worker), 9)
    assert steps(training(data).batches(5, **of_worker), 4) == whole[5:]


def test_the_requests_of_a_step_have_names(data: str) -> None:
    ids = training(data).request_ids(5)
    assert [one.encode() for one in ids] == steps(training(data).batches(5), 1)[0]["ids"]


def test_the_requests_of_a_step_of_several_workers_have_names(data: str) -> None:
    read = [steps(training(data).batches(5, 2, worker, 4), 2) for worker in (0, 1)]
    expected = [one for worker in read for step in worker for one in step["ids"]]
    assert [one.encode() for one in training(data).request_ids(5, pipelines=2, replicas=4)] == expected


def test_files_are_read_in_order(data: str, spec: dict[str, Any]) -> None:
    once, again = (
        np.concatenate([batch["request_id"] for batch in requests(data, "eval", 10, {"request_id"})]) for _ in "12"
    )
    assert once.tolist() == again.tolist() and len(once) == spec["examples"]["eval"]
    items = list(catalog(data, 100))
    assert sum(len(batch["item_id"]) for batch in items) == spec["items"]
    assert set(items[0]) == {feature["name"] for feature in spec["catalog"]}


def test_keys() -> None:
    ids = tf.constant([f"item {number}" for number in range(10_000)])
    assert len(set(key_of(ids).numpy())) == 10_000


def test_keys_of_queries() -> None:
    """One for the same words, whatever their case and spaces; an empty query is like no other."""
    red, alike, other, empty, blank = query_key_of(
        tf.constant(["Red \u00d6l", " red  \u00f6l\n", "\u00f6l red", "", " "])
    ).numpy()
    assert red == alike != other and other > 0
    assert empty == blank == 0


def test_a_folder_without_success(data: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no _SUCCESS in it; run python -m preprocessing.pipeline"):
        read_spec(str(tmp_path))
    shutil.copytree(data, tmp_path / "other")
    spec = json.loads((tmp_path / "other/spec.json").read_text())
    (tmp_path / "other/spec.json").write_text(json.dumps({**spec, "schema_version": 99}))
    with pytest.raises(UserError, match=f"its schema version is 99, this program reads {SCHEMA_VERSION}"):
        read_spec(str(tmp_path / "other"))


def test_a_grain_that_the_data_lacks(data: str) -> None:
    with pytest.raises(UserError, match=r"the data has no query_trigram; preprocessing\.text decides"):
        requests(data, "train", 4, {"query_trigram"})


def test_a_split_without_files(data: str) -> None:
    with pytest.raises(UserError, match=r"no holdout-\*\.tfrecord\.gz in it"):
        requests(data, "holdout", 4)
