"""An export whose config, towers, data and changes lie on gs://, by the command itself."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.graph.towers import towers_hash
from serving.release.manifest import data_hash
from tests.cloud.fake_storage import serving
from tests.packages import ROOT
from tests.serving.conftest import Client
from tests.serving.experiment import untrained_job, write_experiment

BUCKET = "gs://market"


@pytest.fixture(scope="module")
def here(market: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same files on this machine's disk: data/, job/ and experiment.yaml."""
    folder = tmp_path_factory.mktemp("here")
    experiment = write_experiment(folder)
    data = shutil.copytree(market / "data", folder / "data")
    (folder / "job").mkdir()
    untrained_job(experiment, str(data), folder / "job")
    return folder


@pytest.fixture(scope="module")
def cloud(here: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    with serving(tmp_path_factory.mktemp("cloud")) as server, pytest.MonkeyPatch.context() as patch:
        for name, value in server.environment.items():
            patch.setenv(name, value)
        for path in here.rglob("*"):
            if path.is_file():
                server.storage.put("market", str(path.relative_to(here)), path.read_bytes())
        yield server


def export(*flags: str) -> None:
    """In a process of its own: TensorFlow's checkpoint reader holds the interpreter that the storage answers from."""
    command = [sys.executable, "-m", "serving.export", *flags]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_version_from_gs(cloud: Any, here: Path, tmp_path: Path) -> None:
    flags = ["--config", f"{BUCKET}/experiment.yaml", "--data", f"{BUCKET}/data", "--output", str(tmp_path)]
    export(*flags, "--job-dir", f"{BUCKET}/job", "--index", "portable")
    manifest = json.loads((tmp_path / "manifest-1.json").read_text())
    assert manifest["data_hash"] == data_hash(str(here / "data"))
    assert manifest["towers_hash"] == towers_hash(str(here / "job"))
    new = {"item_id": "NEW", "title": "zzq unicorn", "brand": "b", "category_leaf": "l", "category_top": "t"}
    cloud.storage.put("market", "fresh.jsonl", json.dumps(new).encode())
    gone = Client(tmp_path, 1).model.call("serving_default", {"query": np.array([b"shoes"], object)})["item_ids"][0, 0]
    cloud.storage.put("market", "gone.txt", gone)
    changes = ["--fresh", f"{BUCKET}/fresh.jsonl", "--tombstones", f"{BUCKET}/gone.txt"]
    export(*flags, *changes, "--max-regression", "1")
    found = Client(tmp_path, 2).retrieve({"query": "shoes", "k": 1000})["item_ids"][0].tolist()
    assert b"NEW" in found and gone not in found
