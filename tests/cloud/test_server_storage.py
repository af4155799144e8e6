"""A server whose models lie on gs://: the command itself, and a version that arrives while it runs."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from tests.cloud.fake_storage import serving
from tests.packages import ROOT
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs
from tests.serving.runtime.small_model import write_version

BASE = "gs://market/models/retrieval"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Any]:
    with serving(tmp_path) as server:
        yield server


def put(cloud: Any, folder: Path, version: int) -> None:
    """What decides whether there is a version comes last."""
    write_version(folder, version)
    paths = [path for path in (folder / str(version)).rglob("*") if path.is_file()]
    for path in sorted(paths, key=lambda one: one.name == "saved_model.pb"):
        cloud.storage.put("market", f"models/retrieval/{path.relative_to(folder)}", path.read_bytes())


def command(cloud: Any, *flags: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "serving.server", "--port", "auto", *flags],
        cwd=ROOT,
        env={**os.environ, **cloud.environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_versions_on_gs(cloud: Any, tmp_path: Path) -> None:
    put(cloud, tmp_path, 1)
    with command(cloud, "--model_base_path", f"{BASE}/", "--model_name", "retrieval") as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            assert line.startswith("serving {'retrieval': [1]} on gRPC "), line
            with grpc.insecure_channel(line.split("gRPC ")[1].strip()) as channel:
                stubs = Stubs(channel)
                assert stubs.predict(query=["red"])["scores"].shape[0] == 1
                put(cloud, tmp_path, 2)
                deadline = time.monotonic() + 2 * TIMEOUT
                while stubs.status().get(2) != "AVAILABLE" and time.monotonic() < deadline:
                    time.sleep(0.2)
                assert stubs.predict(version=2, query=["red"])["scores"].shape[0] == 1
        finally:
            server.terminate()
            server.communicate(timeout=2 * TIMEOUT)


def test_a_folder_that_is_not_there_is_told_in_one_line(cloud: Any) -> None:
    with command(cloud, "--model_base_path", "gs://market/nothing") as server:
        _, said = server.communicate(timeout=2 * TIMEOUT)
    assert (server.returncode, said) == (
        2,
        "error: model default: gs://market/nothing is no folder; python -m serving.export writes one\n",
    )
