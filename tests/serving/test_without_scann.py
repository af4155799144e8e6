"""From export to answer where ScaNN has no wheel: children in which it cannot be imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.serving.experiment import ROOT, write_experiment

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Of a process to which `import scann` is an error from its start, and of its children."""
    folder = tmp_path_factory.mktemp("blocked")
    (folder / "sitecustomize.py").write_text('import sys\nsys.modules["scann"] = None\n')
    return {**os.environ, "PYTHONPATH": f"{folder}:{ROOT}"}


@pytest.fixture(scope="module")
def run(environment: dict[str, str]) -> Run:
    """`run("serving.export", "--data", ...)`."""

    def command(module: str, *flags: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", module, *flags], cwd=ROOT, env=environment, capture_output=True, text=True
        )

    return command


def test_from_export_to_answer(run: Run, environment: dict[str, str], data: str, job: str, tmp_path: Path) -> None:
    models = tmp_path / "retrieval"
    flags = ("--config", write_experiment(tmp_path), "--job-dir", job, "--data", data, "--output", str(models))
    done = run("serving.export", *flags)
    assert done.returncode == 0, done.stderr
    manifest = json.loads((models / "manifest-1.json").read_text())
    assert manifest["index"]["kind"] == manifest["config"]["index"] == "portable"
    command = [sys.executable, "-m", "serving.server", "--model-base-path", str(models), "--model-name", "retrieval"]
    command += ["--port", "auto", "--rest-api-port", "auto"]
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            target = server.stdout.readline().split("gRPC ")[1].split(",")[0].strip()
            answer = run("serving.client", "shoes", "--target", target, "--k", "3", "--json")
        finally:
            server.kill()
    assert answer.returncode == 0, answer.stderr
    assert len(json.loads(answer.stdout)["hits"]) == 3


def test_who_asks_for_scann_is_told_in_one_line(
    run: Run, exported: Callable[[str], Path], data: str, job: str, tmp_path: Path
) -> None:
    help_text = run("serving.export", "--help").stdout
    assert "default portable" in " ".join(help_text.split())
    flags = ("--job-dir", job, "--data", data, "--output", str(tmp_path / "models"), "--index", "scann")
    queries = tmp_path / "queries.jsonl"
    queries.write_text('{"query": "shoes"}\n')
    version = str(exported("scann"))
    batch = ("--mode", "retrieve", "--input", str(queries), "--model", version, "--output", str(tmp_path / "answers"))
    for module, given in (("serving.export", flags), ("serving.batch", batch)):
        done = run(module, *given)
        assert done.returncode == 2 and "scann is not installed here" in done.stderr, done.stderr
        assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1 and "portable" in done.stderr
