"""A catalogue in shards, built on a real Flink cluster: the models that this machine's own engine makes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from flink_artifacts import Runner
from flink_cluster import FlinkCluster

from serving.graph.saved_model import ServedModel
from serving.inputs import VECTOR_LISTS
from tests.serving.experiment import make_data, train_job, write_experiment

pytestmark = pytest.mark.distributed

CODE = Path(__file__).parents[2]
JOB_SECONDS = 600.0
SETS = ("serving.index=portable", "serving.channels.words.on=true")


def command(job: str, data: str, config: str, output: Path, *beam_args: str) -> list[str]:
    flags = ["--job-dir", job, "--data", data, "--config", config, "--output", str(output), "--shards", "3"]
    return [sys.executable, "-m", "serving.export", *flags, *(f"--set={one}" for one in SETS), *beam_args]


def test_flink_builds_the_same_models(runner: Runner, tmp_path: Path) -> None:
    data, config = make_data(tmp_path), write_experiment(tmp_path)
    job = train_job(config, data, tmp_path / "job")
    here, there = tmp_path / "here", tmp_path / "there"
    done = subprocess.run(command(job, data, config, here), cwd=CODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    with FlinkCluster(runner.jar, tmp_path / "cluster", CODE) as cluster:
        running = cluster.processes.start("export", command(job, data, config, there, *cluster.beam_args()), cwd=CODE)
        status = running.wait(timeout=JOB_SECONDS)
        assert status == 0, f"the export ended with {status}\n{cluster.processes.tails()}"
    ours, theirs = ((folder / "shards.json").read_text() for folder in (here, there))
    assert ours == theirs
    for place in json.loads(ours)["shards"]:
        one, other = (_found(folder / place["name"] / "1", folder / "query" / "1") for folder in (here, there))
        assert one["item_ids"].tolist() == other["item_ids"].tolist()
        assert one["scores"] == pytest.approx(other["scores"], abs=1e-5)


def _found(shard: Path, query: Path) -> dict[str, np.ndarray]:
    """What a shard finds for a query of nobody."""
    with ServedModel(str(query), False) as model:
        inputs = model.signatures["embed_query"].inputs
        asked = {name: np.full((1, inputs[name].tensor_shape.dim[1].size), b"", object) for name in VECTOR_LISTS}
        vector = model.call("embed_query", asked | {"query": np.array([b"red shoes"], object)})["embedding"]
    with ServedModel(str(shard), False) as model:
        return model.call("search", {"embedding": vector, "k": np.array([40], np.int32)})
