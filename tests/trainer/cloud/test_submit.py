"""The job that python -m trainer.submit asks for, against the client library's own messages."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.aiplatform_v1.types import AcceleratorType, CustomJob, HyperparameterTuningJob, Scheduling

from preprocessing.command.console import UserError, run_command
from preprocessing.command.experiment import load_section
from trainer.cloud.machines import GPUS
from trainer.config import TrainerConfig
from trainer.submit import arguments, build, main

ROOT = Path(__file__).parents[3]
IMAGE = "europe-west4-docker.pkg.dev/p/multigrain/trainer:1"
FLAGS = [
    *(
        "--config",
        str(ROOT / "configs/mgdspr.yaml"),
        "--data",
        "gs://bucket/data/",
        "--job-dir",
        "gs://bucket/jobs/one",
    ),
    *("--project", "my-project", "--region", "europe-west4", "--image", IMAGE),
]
RANGES = """\
{optimizer.embedding_rate: {low: 0.01, high: 1, log: true},
 optimizer.warmup_steps: {low: 50, high: 500},
 loss.temperature: {low: 0.1, high: 2},
 mgdspr.item.side: {choices: [[brand], [brand, shop]]}}"""
TUNE = ("--tune", "--set", f"trainer.tune.ranges={RANGES}")
Printed = Callable[..., dict[str, Any]]


@pytest.fixture
def printed(capsys: pytest.CaptureFixture[str]) -> Printed:
    """What `--dry-run` prints."""

    def run(*flags: str) -> dict[str, Any]:
        assert main([*FLAGS, *flags, "--dry-run"]) == 0
        return json.loads(capsys.readouterr().out)

    return run


def custom(document: dict[str, Any]) -> CustomJob:
    return CustomJob.from_json(json.dumps(document), ignore_unknown_fields=False)


def resolved(tmp_path: Path, *flags: str) -> TrainerConfig:
    """The config that goes along."""
    _, path, text = build(arguments([*FLAGS, *flags]))
    assert path.startswith("gs://bucket/jobs/one/submit/")
    (tmp_path / "sent.yaml").write_text(text)
    return load_section(str(tmp_path / "sent.yaml"), "trainer", TrainerConfig)


def test_one_machine(printed: Printed, tmp_path: Path) -> None:
    job = custom(printed("--label", "team=search", "--label", "run=", "--hours", "1.5", "--name", "daily"))
    assert job.display_name == "daily" and dict(job.labels) == {"team": "search", "run": ""}
    (pool,) = job.job_spec.worker_pool_specs
    assert pool.replica_count == 1 and pool.machine_spec.machine_type == "n1-standard-8"
    assert pool.machine_spec.accelerator_type == AcceleratorType.ACCELERATOR_TYPE_UNSPECIFIED
    assert pool.container_spec.image_uri == IMAGE
    assert list(pool.container_spec.command) == ["python", "-m", "trainer.task"]
    args = list(pool.container_spec.args)
    assert args[2:] == ["--data", "gs://bucket/data", "--job-dir", "gs://bucket/jobs/one"]
    assert job.job_spec.base_output_directory.output_uri_prefix == "gs://bucket/jobs/one"
    assert job.job_spec.scheduling.timeout.total_seconds() == 5400
    assert job.job_spec.scheduling.strategy == Scheduling.Strategy.STANDARD
    assert resolved(tmp_path).distribution.strategy == "none"


def test_the_container_understands_its_arguments(printed: Printed) -> None:
    from trainer import task

    (pool,) = custom(printed()).job_spec.worker_pool_specs
    flags = task.arguments(list(pool.container_spec.args))
    assert flags.job_dir == "gs://bucket/jobs/one" and flags.config.endswith(".yaml")


def test_several_gpus(printed: Printed, tmp_path: Path) -> None:
    flags = ("--machine-type", "g2-standard-24", "--gpu", "L4", "--gpus", "2", "--spot")
    job = custom(printed(*flags))
    (pool,) = job.job_spec.worker_pool_specs
    assert pool.machine_spec.accelerator_type == AcceleratorType.NVIDIA_L4
    assert pool.machine_spec.accelerator_count == 2
    assert job.job_spec.scheduling.strategy == Scheduling.Strategy.SPOT
    assert job.job_spec.scheduling.restart_job_on_worker_restart
    assert resolved(tmp_path, *flags).distribution.strategy == "mirrored"


def test_several_machines(printed: Printed, tmp_path: Path) -> None:
    account, board = "trainer@my-project.iam.gserviceaccount.com", "projects/p/locations/europe-west4/tensorboards/12"
    flags = ("--replicas", "4", "--service-account", account, "--tensorboard", board)
    job = custom(printed(*flags))
    chief, workers = job.job_spec.worker_pool_specs
    assert (chief.replica_count, workers.replica_count) == (1, 3)
    assert chief.container_spec == workers.container_spec and chief.machine_spec == workers.machine_spec
    assert job.job_spec.service_account == account and job.job_spec.tensorboard == board
    assert resolved(tmp_path, *flags).distribution.strategy == "multiworker"


def test_parameter_servers(printed: Printed, tmp_path: Path) -> None:
    """Pools in the order by which Vertex AI names them in TF_CONFIG: chief, worker, ps. The batch is each worker's."""
    flags = ("--machine-type", "n1-standard-8", "--gpu", "T4", "--gpus", "1", "--replicas", "3", "--servers", "2")
    flags += ("--server-type", "n1-highmem-16")
    chief, workers, servers = custom(printed(*flags)).job_spec.worker_pool_specs
    assert [pool.replica_count for pool in (chief, workers, servers)] == [1, 3, 2]
    assert [pool.machine_spec.machine_type for pool in (chief, workers, servers)] == [
        "n1-highmem-16",
        "n1-standard-8",
        "n1-highmem-16",
    ]
    assert [pool.machine_spec.accelerator_count for pool in (chief, workers, servers)] == [0, 1, 0]
    assert chief.container_spec == workers.container_spec == servers.container_spec
    assert resolved(tmp_path, *flags).distribution.strategy == "parameter_server"


def test_the_sdist_in_another_image(printed: Printed) -> None:
    job = custom(printed("--package", "gs://bucket/dist/multigrain-0.1.0.tar.gz"))
    (pool,) = job.job_spec.worker_pool_specs
    package = pool.python_package_spec
    assert package.executor_image_uri == IMAGE and package.python_module == "trainer.task"
    assert list(package.package_uris) == ["gs://bucket/dist/multigrain-0.1.0.tar.gz"]
    assert list(package.args)[2:4] == ["--data", "gs://bucket/data"]


def test_a_search(printed: Printed, tmp_path: Path) -> None:
    document = printed(*TUNE, "--set", "trainer.tune.trials=3", "--parallel", "8")
    job = HyperparameterTuningJob.from_json(json.dumps(document), ignore_unknown_fields=False)
    assert (job.max_trial_count, job.parallel_trial_count) == (3, 3)
    (metric,) = job.study_spec.metrics
    assert metric.metric_id == "recall" and metric.goal.name == "MAXIMIZE"
    rate, warmup, temperature, side = job.study_spec.parameters
    assert rate.parameter_id == "optimizer.embedding_rate" and rate.scale_type.name == "UNIT_LOG_SCALE"
    assert (rate.double_value_spec.min_value, rate.double_value_spec.max_value) == (0.01, 1.0)
    assert (warmup.integer_value_spec.min_value, warmup.integer_value_spec.max_value) == (50, 500)
    assert temperature.scale_type.name == "UNIT_LINEAR_SCALE"
    assert [json.loads(one) for one in side.categorical_value_spec.values] == [["brand"], ["brand", "shop"]]
    (pool,) = job.trial_job_spec.worker_pool_specs
    assert list(pool.container_spec.command) == ["python", "-m", "trainer.cloud.vertex_trial"]
    assert not resolved(tmp_path, *TUNE).tune.ranges


def test_every_experiment_can_be_submitted(printed: Printed) -> None:
    for path in sorted((ROOT / "configs").rglob("*.yaml")):
        if "trainer" in yaml.safe_load(path.read_text()):
            assert custom(printed("--config", str(path))).display_name.startswith("multigrain-")


MISTAKES = {
    "a local folder": (["--data", "out/data"], "--data out/data: not a folder on gs://"),
    "a bucket alone": (["--job-dir", "gs://bucket"], "--job-dir gs://bucket: not a folder on gs://"),
    "an odd region": (["--region", "Europe"], "--region Europe: not a region"),
    "an odd image": (["--image", "My Image"], "--image My Image: not a container image"),
    "an odd label": (["--label", "Team=x"], "--label Team=x: expected key=value of lower-case"),
    "an unknown GPU": (["--gpu", "L40", "--gpus", "1"], "--gpu L40: unknown; did you mean 'L4'?"),
    "GPUs of no type": (["--gpus", "2"], "--gpu and --gpus belong together"),
    "a machine without its GPU": (["--machine-type", "g2-standard-8"], "comes with L4: add --gpu L4"),
    "a GPU elsewhere": (["--gpu", "A100", "--gpus", "1"], "comes with its own machine types (a2-highgpu-*"),
    "too few GPUs": (["--machine-type", "a2-highgpu-4g", "--gpu", "A100", "--gpus", "2"], "has 4 GPUs, not --gpus 2"),
    "an uneven batch": (
        ["--replicas", "3"],
        "trainer.data.batch (512) cannot be dealt out evenly over 3 devices; 513",
    ),
    "fewer servers than none": (["--servers", "-1"], "--servers -1: at least 0"),
    "workers with several GPUs": (
        ["--gpu", "T4", "--gpus", "2", "--servers", "1"],
        "--servers 1 --gpus 2: a worker of parameter servers has one GPU",
    ),
    "an odd type of server": (["--servers", "1", "--server-type", "large"], "--server-type large: not a machine type"),
    "a search on servers": (["--tune", "--servers", "1"], "--tune does not go with --servers"),
    "a board without an account": (
        ["--tensorboard", "projects/p/locations/r/tensorboards/1"],
        "needs --service-account",
    ),
    "nothing to search": (["--tune"], "nothing to search; give trainer.tune.ranges a key"),
    "too long": (["--hours", "200"], "--hours 200: above 0 and at most 168"),
    "an unknown key": (["--set", "trainer.sed=1"], "unknown key 'trainer.sed'"),
    "no config": (["--config", "/nowhere.yaml"], "/nowhere.yaml: no such config file"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_mistakes(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags, said = MISTAKES[name]
    with pytest.raises(SystemExit) as end:
        run_command(lambda _: main([*FLAGS, *flags, "--dry-run"]))
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_range_of_batches_over_devices() -> None:
    ranges = "trainer.tune.ranges={data.batch: {low: 512, high: 1024}}"
    with pytest.raises(UserError, match=r"data.batch over 2 devices needs choices, not a range"):
        build(arguments([*FLAGS, "--tune", "--set", ranges, "--replicas", "2"]))


def test_the_gpus_are_those_of_the_service() -> None:
    assert set(GPUS.values()) <= set(AcceleratorType.__members__)


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("google.cloud.aiplatform_v1", "google.cloud.aiplatform_v1.types"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SystemExit) as end:
        run_command(lambda _: main([*FLAGS, "--dry-run"]))
    assert end.value.code == 2
    assert capsys.readouterr().err == "error: google-cloud-aiplatform is not installed: pip install multigrain[gcp]\n"
