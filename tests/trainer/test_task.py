"""Training as a user runs it: it learns, goes on where it was killed, and names mistakes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.console import UserError
from trainer import dataset
from trainer.config import TrainerConfig
from trainer.loop import Trainer
from trainer.recall import full_catalogue_recall
from trainer.task import main

ROOT = Path(__file__).resolve().parents[2]
FLAGS = ["--set", "trainer.model.dim=16", "--set", "trainer.loss.shared_negatives=64", "--set", "trainer.batch=32"]
CONFIG = ["--config", str(ROOT / "configs" / "mgdspr.yaml")]


def metrics(job: Path) -> dict[str, Any]:
    return json.loads((job / "metrics.json").read_text())


@pytest.fixture(scope="module")
def job(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs") / "job"
    assert main([*CONFIG, "--data", data, "--job-dir", str(folder), *FLAGS]) == 0
    return folder


def test_it_learns(job: Path, data: str, spec: dataset.Spec) -> None:
    found = metrics(job)
    assert found["step"] == spec["examples"]["train"] // 32 * 3
    untrained = Trainer(TrainerConfig.model_validate({"model": {"dim": 16}}), data, spec, str(job) + "-untrained")
    before = full_catalogue_recall(untrained.model, data, spec, [10, 100])
    assert found["recall@10/clicked"] > 2 * before["recall@10/clicked"]
    assert found["recall@10/clicked"] < found["recall@100/clicked"] <= found["recall@1000/clicked"] == 1.0
    assert {path.name for path in job.iterdir()} == {"checkpoints", "config.yaml", "metrics.json"}


def test_recall_by_hand(job: Path, data: str, spec: dataset.Spec) -> None:
    config = TrainerConfig.model_validate({"model": {"dim": 16}})
    model = Trainer(config, data, spec, str(job) + "-by-hand").model
    items = next(iter(dataset.catalog(data, spec, 10_000)))
    names, vectors = items["item_id"].numpy().tolist(), model.catalog_vectors(items).numpy()
    shares = []
    for request in dataset.requests(data, spec, "eval", 1):
        wanted = [item for item in request["clicked_item_id"].numpy()[0].tolist() if item in names]
        if wanted:
            best = np.argsort(-(vectors @ model.query_tower(request).numpy()[0]), kind="stable")[:20]
            shares.append(len({names[place] for place in best} & set(wanted)) / len(wanted))
    found = full_catalogue_recall(model, data, spec, [20])["recall@20/clicked"]
    assert found == pytest.approx(np.mean(shares), abs=1e-4)


def test_a_killed_run_goes_on_and_sees_what_it_would_have_seen(job: Path, data: str, tmp_path: Path) -> None:
    killed = tmp_path / "job"
    command = [sys.executable, "-m", "trainer.task", *CONFIG, "--data", data, "--job-dir", str(killed), *FLAGS]
    command += ["--set", "trainer.checkpoint_steps=7"]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(killed.glob("checkpoints/*.index")):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not (killed / "metrics.json").exists()
    assert main([*command[3:]]) == 0
    whole, resumed = metrics(job), metrics(killed)
    assert {**resumed, "train_seconds": 0} == {**whole, "train_seconds": 0}


def test_a_finished_job_is_not_trained_again(job: Path, data: str) -> None:
    before = metrics(job)
    assert main([*CONFIG, "--data", data, "--job-dir", str(job), *FLAGS]) == 0
    after = metrics(job)
    assert after["train_seconds"] < before["train_seconds"]
    assert {name: value for name, value in after.items() if name != "train_seconds"} == {
        name: value for name, value in before.items() if name != "train_seconds"
    }


def test_mistakes(job: Path, data: str, tmp_path: Path) -> None:
    def told(*flags: str) -> str:
        given = {"--data": data, "--job-dir": str(tmp_path / "new")}
        with pytest.raises(UserError) as error:
            main([*CONFIG, *(part for pair in given.items() for part in pair), *flags])
        return str(error.value)

    assert "no _SUCCESS" in told("--data", str(tmp_path))
    assert "belongs to another config" in told("--job-dir", str(job))
    assert "did you mean 'batch'" in told("--set", "trainer.bach=3")
    assert "trainer.batch 1000000 is more than" in told("--set", "trainer.batch=1000000")
    old = tmp_path / "old"
    old.mkdir()
    (old / "_SUCCESS").touch()
    (old / "spec.json").write_text('{"schema_version": 0}')
    assert "is of schema 0" in told("--data", str(old))


def test_a_number_that_is_none_stops_the_run_and_names_the_step(data: str, spec: dataset.Spec, tmp_path: Path) -> None:
    config = TrainerConfig.model_validate({"model": {"dim": 16}, "batch": 32, "loss": {"shared_negatives": 64}})
    trainer = Trainer(config, data, spec, str(tmp_path))
    trainer.model.query_tower(next(iter(dataset.requests(data, spec, "train", 2))))
    trainer.model.query_tower.trainable_variables[0].assign(
        tf.fill(trainer.model.query_tower.trainable_variables[0].shape, float("nan"))
    )
    with pytest.raises(UserError, match=r"the loss is nan at step 1 \(requests R0"):
        trainer.train()


def test_the_order_of_data_follows_from_the_seed(data: str, spec: dataset.Spec) -> None:
    def order(seed: int) -> list[bytes]:
        batches = dataset.requests(data, spec, "train", 32, seed)
        return [one for batch in batches for one in batch["request_id"].numpy().tolist()]

    assert order(1) == order(1)
    assert order(1) != order(2)
    assert len(set(order(1))) == spec["examples"]["train"] // 32 * 32
