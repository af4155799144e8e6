"""A small simulated market, processed once, and jobs trained on it."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from trainer.config import TrainerConfig

ROOT = Path(__file__).parents[2]
_START_MS = 1_704_067_200_000  # of simulated markets

SMALL: dict[str, Any] = {
    "mgdspr": {"dim": 16, "grains": {"sequence_hidden": 16}},
    "mmse": {"dim": 8, "grains": {"mix": False, "sequence_hidden": 16}},
    "dnn": {"dim": 16, "hidden": [16]},
    "tfrs": {"dim": 16},
    "data": {"batch": 64, "shuffle": 200, "readers": 2, "prefetch": 2},
    "loss": {"catalog_negatives": 128},
    "optimizer": {"warmup_steps": 4},
    "training": {"steps": 24, "steps_per_call": 4, "checkpoint_every_steps": 8},
    "validation": {"every_steps": 12, "requests": 64, "k": 20},
}


@pytest.fixture(scope="session")
def data(market: Path) -> str:
    """Records of a market of 400 items."""
    return str(market / "data")


@pytest.fixture(scope="session")
def earlier(data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Records of the same market six days before, when it had fewer items: other words, in another order."""
    from preprocessing.pipeline import run

    raw, folder = Path(data).parent / "raw", tmp_path_factory.mktemp("earlier")
    (folder / "raw").mkdir()
    for file in raw.glob("*.jsonl.gz"):
        with gzip.open(file, "rt") as lines, gzip.open(folder / "raw" / file.name, "wt") as kept:
            kept.writelines(line for number, line in enumerate(lines) if _is_earlier(json.loads(line), number))
    config = load_section(str(ROOT / "configs" / "demo.yaml"), "preprocessing", PreprocessingConfig)
    run(config, str(folder / "raw"), str(folder / "data"), ())
    return str(folder / "data")


def _is_earlier(record: dict[str, Any], number: int) -> bool:
    return record["ts"] < _START_MS + 14 * 86_400_000 if "ts" in record else number % 40 > 0


@pytest.fixture(scope="session")
def spec(data: str) -> dict[str, Any]:
    """Its spec.json."""
    return json.loads(Path(data, "spec.json").read_text())


def write_config(folder: Path, **changes: Any) -> str:
    """A small experiment's YAML."""
    path = folder / "experiment.yaml"
    path.write_text(yaml.safe_dump({"trainer": {**SMALL, **changes}}))
    return str(path)


@pytest.fixture(scope="session")
def config(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., TrainerConfig]:
    """`config("mmse", "mmse.dim=4")`: the small experiment of a model, overridden."""

    def make(model: str = "mgdspr", *overrides: str) -> TrainerConfig:
        path = write_config(tmp_path_factory.mktemp("config"), model=model)
        return load_section(path, "trainer", TrainerConfig, [f"trainer.{one}" for one in overrides])

    return make


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `python -m trainer.task` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "trainer.task", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str], timeout: float = 600) -> str:
    """Waits for a process that must succeed; returns what it said on both streams."""
    out, err = process.communicate(timeout=timeout)
    assert process.returncode == 0, err
    return out + err


def flags(config: str, data: str, job: Path, *overrides: str) -> Sequence[str]:
    """The flags of a job."""
    settings = [part for one in overrides for part in ("--set", f"trainer.{one}")]
    return ("--config", config, "--data", data, "--job-dir", str(job), *settings)
