"""Workers that train on tables in parts on servers, each a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.data.spec import read_spec
from tests.ports import free_ports
from tests.trainer.conftest import command, finish, flags, write_config
from trainer.config_training import DistributionConfig
from trainer.data.dataset import catalog
from trainer.job.job_folder import Job
from trainer.job.restore import restore
from trainer.training.distribution import placement_of
from trainer.training.loop import Trainer

ROWS = 40_000  # of width 16: two parts of more than TensorFlow's least


class Cluster:
    """A chief, two workers, two servers."""

    def __init__(self, arguments: list[str]) -> None:
        ports = [f"127.0.0.1:{port}" for port in free_ports(5)]
        self._cluster = {"chief": ports[:1], "worker": ports[1:3], "ps": ports[3:]}
        self.arguments = arguments
        self.started: list[subprocess.Popen[str]] = []

    def start(self, kind: str, number: int = 0) -> subprocess.Popen[str]:
        """One of its machines, as Vertex AI starts it."""
        told = json.dumps({"cluster": self._cluster, "task": {"type": kind, "index": number}, "environment": "cloud"})
        self.started.append(command(*self.arguments, TF_CONFIG=told))
        return self.started[-1]


@pytest.fixture
def data(market: Path) -> str:
    return str(market / "data")


@pytest.fixture
def cluster(data: str, tmp_path: Path) -> Iterator[Cluster]:
    settings = write_config(tmp_path, model="dnn", dnn={"dim": 16, "hidden": [16], "attributes": ["item", "leaf"]})
    changes = (
        "distribution.strategy=parameter_server",
        f"dnn.tables.item.hashed_rows={ROWS}",
        "data.catalog_requests=0.25",
        "training.steps=120",
        "training.steps_per_call=3",
        "training.checkpoint_every_steps=12",
        "validation.every_steps=30",
    )
    made = Cluster(list(flags(settings, data, tmp_path / "job", *changes)))
    yield made
    for process in made.started:
        process.kill()
        process.communicate()


def last_step(job: Path) -> int:
    found = tf.train.latest_checkpoint(str(job / "checkpoints/last"))
    return int(found.rsplit("-", 1)[-1]) if found else 0


def wait_for_step(job: Path, step: int, process: subprocess.Popen[str]) -> None:
    while last_step(job) < step:
        assert process.poll() is None, process.communicate()
        time.sleep(0.05)


def item_table(checkpoints: Path) -> np.ndarray:
    reader = tf.train.load_checkpoint(tf.train.latest_checkpoint(str(checkpoints)))
    return reader.get_tensor("model/query_tower/tables/tables.Sitem/.ATTRIBUTES/VARIABLE_VALUE")


def test_a_job_through_a_lost_worker_and_a_lost_chief(cluster: Cluster, data: str, tmp_path: Path) -> None:
    job = tmp_path / "job"
    servers = [cluster.start("ps", number) for number in (0, 1)]
    workers = [cluster.start("worker", number) for number in (0, 1)]
    chief = cluster.start("chief")
    wait_for_step(job, 12, chief)
    workers[1].send_signal(signal.SIGKILL)
    workers[1] = cluster.start("worker", 1)
    wait_for_step(job, 24, chief)
    chief.send_signal(signal.SIGKILL)
    chief.communicate()
    begun = last_step(job)
    assert begun < 120
    said = finish(cluster.start("chief"))
    steps = [int(step) for step in re.findall(r"step (\d+)/120", said)]
    assert steps[-1] == 120 and min(steps) > begun, "it went on from a checkpoint"
    assert "step 120: recall@20" in said
    for process in (*servers, *workers):
        assert process.wait(timeout=120) == 0, process.communicate()
    assert "on 2 parameter servers: bigram in 1, item in 2, leaf in 1, word in 1" in said

    table = item_table(job / "checkpoints/last")
    vocabulary = json.loads(Path(data, "spec.json").read_text())["vocabularies"]["item"]
    assert table.shape == (1 + ROWS + vocabulary["words"], 16)
    towers = restore(str(job), data)
    tables = towers._model.query_tower.tables
    restored = dict(zip(tables.names, tables.embeddings, strict=True))["item"]
    np.testing.assert_array_equal(restored, item_table(job / "checkpoints/best"))
    served = tf.saved_model.load(str(job / "towers/item")).signatures["embed"]
    batch = next(iter(catalog(data, 100, towers.item_columns)))
    dense = {n: tf.cast(v.to_tensor() if isinstance(v, tf.RaggedTensor) else v, tf.int32) for n, v in batch.items()}
    assert served(**dense)["embedding"].numpy() == pytest.approx(towers.item(batch).numpy(), abs=1e-5)
    trainer = alone(job, data)
    assert trainer.begin() == 120, "the same job goes on without servers"
    tables = trainer.model.query_tower.tables
    place = tables.names.index("item")
    np.testing.assert_array_equal(tables.embeddings[place], item_table(job / "checkpoints/last"))
    sums = trainer._optimizer.of_tables.variables[1 + place].numpy()
    for part in np.split(sums, [len(sums) // 2]):
        assert (part > np.float32(0.1)).any() and (part == np.float32(0.1)).any(), "some rows of each part are trained"


def alone(job: Path, data: str) -> Trainer:
    """The job on one device."""
    placement = placement_of(DistributionConfig())
    return Trainer(Job(str(job)).config(), data, Job(str(job)), placement, read_spec(data))


@pytest.fixture
def one_core() -> Iterator[None]:
    """What is started meanwhile has one core: threads that wait for each other have no other to go on."""
    cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(cores)})
    yield
    os.sched_setaffinity(0, cores)


@pytest.mark.usefixtures("one_core")
def test_a_lost_server_ends_the_job(cluster: Cluster, tmp_path: Path) -> None:
    servers = [cluster.start("ps", number) for number in (0, 1)]
    for number in (0, 1):
        cluster.start("worker", number)
    chief = cluster.start("chief")
    wait_for_step(tmp_path / "job", 12, chief)
    servers[1].send_signal(signal.SIGKILL)
    _, said = chief.communicate(timeout=300)
    assert chief.returncode == 1 and "Traceback" not in said
    lost = [line for line in said.splitlines() if "a parameter server is lost" in line]
    assert len(lost) == 1 and "start all machines again: the job goes on from" in lost[0], said
