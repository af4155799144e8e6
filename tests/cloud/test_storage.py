"""A preprocessing and a trial of a training on gs://, through Beam's and TensorFlow's own clients of Cloud Storage."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1 import JobState

from preprocessing.command.console import UserError
from preprocessing.pipeline import main as preprocess
from preprocessing.simulate import simulate
from tests.cloud.fake_storage import serving
from tests.trainer.cloud.fake_vertex import FakeVertex
from tests.trainer.cloud.fake_vertex import serving as vertex_serving
from trainer.submit import main as submit
from trainer.submit import send_config

ROOT = Path(__file__).parents[2]
DATA, TUNE = "gs://market/data", "gs://market/tune"
SMALL = {
    "trainer": {
        "model": "tfrs",
        "tfrs": {"dim": 16},
        "loss": {"kind": "tfrs"},
        "data": {"batch": 64, "shuffle": 200, "readers": 1, "prefetch": 1},
        "training": {"steps": 4, "steps_per_call": 4, "checkpoint_every_steps": 4},
        "validation": {"every_steps": 4, "requests": 32, "k": 20},
    }
}
FEW = "preprocessing.output={train_shards: 2, eval_shards: 1, catalog_shards: 1}"


def process(raw: str, data: str) -> None:
    config = str(ROOT / "configs/demo.yaml")
    assert preprocess(["--config", config, "--input", raw, "--output", data, "--set", FEW]) == 0


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The fake store, with a market's raw logs in it, processed into `DATA`, over what a broken run had left."""
    folder = tmp_path_factory.mktemp("cloud")
    with serving(folder) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        simulate("gs://market/raw", items=200, users=60, days=10, seed=17)
        for left in (
            "FAILED",
            "_staging/STARTED",
            "_staging/train-00007-of-00008.tfrecord.gz",
            "vocab/old.txt",
            "rejected/old.jsonl",
        ):
            server.storage.put("market", f"data/{left}", b"of another run")
        process("gs://market/raw", DATA)
        yield server


def test_the_data_folder(cloud: Any, tmp_path: Path) -> None:
    names = cloud.storage.names(DATA)
    assert not {name for name in names if name.startswith("_staging") or "old" in name or "part" in name}
    assert {"_SUCCESS", "spec.json", "stats.json", "config.yaml", "vocab/word.txt"} <= names and "FAILED" not in names
    simulate(tmp_path / "raw", items=200, users=60, days=10, seed=17)
    process(str(tmp_path / "raw"), str(tmp_path / "data"))  # the same, on this machine's disk
    assert (
        cloud.storage.read("gs://market/raw/truth/queries.jsonl") == (tmp_path / "raw/truth/queries.jsonl").read_bytes()
    )
    here = {str(path.relative_to(tmp_path / "data")) for path in (tmp_path / "data").rglob("*") if path.is_file()}
    assert here == names
    for name in here:
        assert cloud.storage.read(f"{DATA}/{name}") == (tmp_path / "data" / name).read_bytes(), name


def test_a_trial_from_the_submitted_config_to_its_metric(cloud: Any, tmp_path: Path) -> None:
    """As in the container: the flags of the job, a flag for each drawn value, the trial's number in the environment."""
    send_config(DATA, f"{TUNE}/submit/small.yaml", yaml.safe_dump(SMALL))
    metrics = tmp_path / "hypertune/output.metrics"
    command = [
        sys.executable,
        "-m",
        "trainer.cloud.vertex_trial",
        "--config",
        f"{TUNE}/submit/small.yaml",
        "--data",
        DATA,
    ]
    done = subprocess.run(
        [*command, "--job-dir", TUNE, "--optimizer.dense_rate=0.01", "--loss.in_batch=true"],
        cwd=ROOT,
        env={**os.environ, "CLOUD_ML_TRIAL_ID": "3", "CLOUD_ML_HP_METRIC_FILE": str(metrics)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    names = cloud.storage.names(f"{TUNE}/3")
    assert {"config.yaml", "data.json", "towers/query/saved_model.pb", "towers/item/saved_model.pb"} <= names
    assert "checkpoints/last/ckpt-4.index" in names and not {name for name in names if ".part" in name}
    config = yaml.safe_load(cloud.storage.read(f"{TUNE}/3/config.yaml"))["trainer"]
    assert config["optimizer"]["dense_rate"] == 0.01 and config["loss"]["in_batch"] is True
    reported = json.loads(metrics.read_text())
    assert reported.keys() == {"timestamp", "trial", "recall", "global_step", "checkpoint_path"}
    assert reported["trial"] == "3" and f"recall@20 {float(reported['recall']):.4f}" in done.stdout


def test_submitting(cloud: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole command, with its config in the store and its job at the service."""
    config = str(ROOT / "configs/mgdspr.yaml")
    flags = ["--config", config, "--data", DATA, "--job-dir", "gs://market/jobs/one/", "--project", "my-project"]
    flags += ["--region", "europe-west4", "--image", "europe-west4-docker.pkg.dev/p/multigrain/trainer:1", "--wait"]
    vertex = FakeVertex([{"state": JobState.JOB_STATE_SUCCEEDED}])
    with vertex_serving(vertex) as client:
        monkeypatch.setattr("trainer.cloud.follow.client_of", lambda region: client)
        assert submit([*flags, "--set", "trainer.seed=18", "--replicas", "2"]) == 0
        with pytest.raises(UserError, match="--data gs://market/none: no _SUCCESS in it"):
            submit([*flags, "--data", "gs://market/none"])
    out, err = capsys.readouterr()
    assert out.splitlines() == [
        "projects/my-project/locations/europe-west4/customJobs/42",
        "towers are in gs://market/jobs/one/towers",
    ]
    assert "job: https://console.cloud.google.com/vertex-ai/" in err and "succeeded" in err
    (request,) = vertex.requests
    args = list(request.custom_job.job_spec.worker_pool_specs[0].container_spec.args)
    sent = yaml.safe_load(cloud.storage.read(args[args.index("--config") + 1]))["trainer"]
    assert (sent["seed"], sent["distribution"]["strategy"]) == (18, "multiworker")
