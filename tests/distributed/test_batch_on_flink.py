"""The batch jobs on a real Flink cluster: the rows that Beam's own engine gives."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pyarrow
import pyarrow.parquet
import pytest
from flink_artifacts import Runner
from flink_cluster import FlinkCluster

from tests.serving.runtime.small_model import write_version

pytestmark = pytest.mark.distributed

CODE = Path(__file__).parents[2]
JOB_SECONDS = 400.0
WORDS = ("red", "blue", "shoe", "bag", "cup", "lamp", "small", "large")


@pytest.fixture(scope="module")
def cluster(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlinkCluster]:
    with FlinkCluster(runner.jar, tmp_path_factory.mktemp("flink") / "cluster", CODE) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    write_version(folder, 1)
    return folder


def rows(mode: str, folder: Path) -> Path:
    """Several files, with a row of each kind that must be rejected."""
    folder.mkdir()
    texts = [f"{first} {second} {third}" for first in WORDS for second in WORDS for third in WORDS]
    if mode == "embed":
        good: list[dict[str, Any]] = [{"item_id": f"i{row}", "title": text} for row, text in enumerate(texts)]
    else:
        good = [
            {"request_id": f"r{row}", "query": text, "k": 1 + row % 20, "short_items": [f"item{row}"]}
            for row, text in enumerate(texts)
        ]
    lines = [*map(orjson.dumps, good), b"broken", orjson.dumps(good[7]), b"{}"]
    for number in range(3):
        (folder / f"rows-{number}.jsonl").write_bytes(b"\n".join(lines[number::3]))
    return folder / "rows-*.jsonl"


def job(mode: str, given: Path, model: Path, output: Path, *beam_args: str) -> list[str]:
    flags = ["--mode", mode, "--input", str(given), "--model", str(model), "--output", str(output), "--shards", "4"]
    return [sys.executable, "-m", "serving.batch", *flags, *beam_args]


def answers(output: Path) -> tuple[list[dict[str, Any]], dict[str, Any], list[bytes]]:
    """(the rows, in the order of their ids; what was counted; the lines that were rejected)."""
    manifest = json.loads((output / "batch.json").read_text())
    tables = [pyarrow.parquet.read_table(output / name) for name in manifest["files"]]
    key = "item_id" if manifest["mode"] == "embed" else "request_id"
    found = pyarrow.concat_tables(tables).sort_by(key).to_pylist()
    counted = {name: manifest[name] for name in ("counts", "rejected", "excluded", "files")}
    return found, counted, (output / manifest["rejected_file"]).read_bytes().splitlines()


@pytest.mark.parametrize("mode", ["embed", "retrieve"])
def test_flink_gives_the_same_rows(mode: str, cluster: FlinkCluster, model: Path, tmp_path: Path) -> None:
    given = rows(mode, tmp_path / "rows")
    here, there = tmp_path / "here", tmp_path / "there"
    done = subprocess.run(job(mode, given, model, here), cwd=CODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    running = cluster.processes.start(mode, job(mode, given, model, there, *cluster.beam_args()), cwd=CODE)
    status = running.wait(timeout=JOB_SECONDS)
    assert status == 0, f"the job ended with {status}\n{cluster.processes.tails()}"
    expected, counted, rejected = answers(here)
    found, counted_there, rejected_there = answers(there)
    assert counted_there == counted and counted["counts"]["written"] == len(WORDS) ** 3
    assert rejected_there == rejected and len(rejected) == 3
    numbers = "vector" if mode == "embed" else "scores"
    for ours, theirs in zip(expected, found, strict=True):
        assert theirs.pop(numbers) == pytest.approx(ours.pop(numbers), abs=1e-5)
        assert theirs == ours
