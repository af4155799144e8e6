"""What is built installs into new environments, and works there: the client beside grpcio alone, the pipeline whole."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from environments import fresh, pip, run
from processes import Processes

from tests.packages import ROOT, Built, build, locked
from tests.ports import free_ports
from tests.serving.runtime.small_model import write_version

START_ATTEMPTS = 40
LOCK = locked(ROOT / "requirements.lock")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("sources"))


@pytest.fixture
def target(tmp_path: Path) -> Iterator[str]:
    """A real server's address."""
    write_version(tmp_path, 1, ["a", "b", "c"])
    (port,) = free_ports(1)
    processes = Processes(tmp_path / "logs")
    flags = ["--model-base-path", str(tmp_path), "--model-name", "retrieval", "--port", str(port)]
    processes.start("server", [sys.executable, "-m", "serving.server", *flags], cwd=ROOT)
    try:
        yield f"127.0.0.1:{port}"
    finally:
        processes.kill_all()


@pytest.mark.parametrize("kind", ["sdist", "wheel"])
def test_the_client_works_beside_grpcio_and_protobuf_alone(
    kind: str, built: Built, target: str, tmp_path: Path
) -> None:
    python = fresh(tmp_path / "env")
    pip(python, "install", *(f"{name}=={LOCK[name]}" for name in ("grpcio", "protobuf")))
    pip(python, "install", "--no-deps", getattr(built, kind))
    installed = {one["name"] for one in json.loads(pip(python, "list", "--format=json"))}
    assert installed <= {"grpcio", "protobuf", "multigrain", "typing_extensions", "pip", "setuptools"}
    ask = f"""
import time
from serving.client import Retriever
with Retriever({target!r}, timeout=10) as retriever:
    for attempt in range({START_ATTEMPTS}):
        try:
            hits = retriever.retrieve("red shoes", k=2).hits
            break
        except Exception as error:
            failed = error
            time.sleep(0.5)
    else:
        raise failed
print(len(hits), {{hit.item_id for hit in hits}} <= set("abc"))
"""
    assert run(python, "-c", ask, cwd=tmp_path).stdout.split() == ["2", "True"]
    for command in ((python, "-m", "serving.client"), (python.parent / "multigrain", "ask")):
        table = run(*command, "red shoes", "--target", target, "--k", "3", cwd=tmp_path).stdout
        assert [line.split()[0] for line in table.splitlines()] == ["rank", "1", "2", "3"]


def test_the_package_brings_what_the_pipeline_needs(built: Built, tmp_path: Path) -> None:
    python = fresh(tmp_path / "env")
    versions = tmp_path / "versions"
    versions.write_text("".join(f"{name}=={version}\n" for name, version in LOCK.items()))  # what is built has no hash
    pip(python, "install", "--constraint", versions, built.wheel)
    run(python, "-m", "pip", "check", cwd=tmp_path)
    config = ROOT / "configs" / "demo.yaml"
    size = ("--items", 300, "--users", 60, "--days", 10)
    run(python, "-m", "preprocessing.simulate", "--output", "raw", *size, cwd=tmp_path)
    folders = ("--input", "raw", "--output", "data")
    run(python, "-m", "preprocessing.pipeline", "--config", config, *folders, cwd=tmp_path)
    assert (tmp_path / "data" / "_SUCCESS").exists()
    for module in ("trainer.task", "trainer.evaluate", "serving.export", "serving.server", "serving.batch"):
        assert re.match(rf"usage: python -m {module}", run(python, "-m", module, "--help", cwd=tmp_path).stdout)
