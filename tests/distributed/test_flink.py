"""The preprocessing pipeline on a real Flink cluster: the same records, also when a machine is lost on the way."""

from __future__ import annotations

import gzip
import itertools
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flink_artifacts import Runner
from flink_cluster import FlinkCluster
from outputs import Contents, contents, differences

pytestmark = pytest.mark.distributed

CODE = Path(__file__).parents[2]
CONFIG = CODE / "configs" / "demo.yaml"
JOB_SECONDS, BOT_SECONDS = 400.0, 1800.0
BOT_EVENTS, KEPT_EVENTS = 10_000_000, 10_000


@pytest.fixture(scope="module")
def raw(runner: Runner, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated logs, with a few records of each kind that must be rejected."""
    folder = tmp_path_factory.mktemp("input") / "raw"
    simulate(folder)
    action = {"ts": 1_700_000_000, "user_id": "u", "item_id": "not in the catalogue", "action": "click"}
    broken_search = {"request_id": "r", "ts": "no time", "user_id": "u", "query": "q", "results": []}
    write_lines(folder / "actions_broken.jsonl", json.dumps(action), json.dumps({**action, "action": "stare"}), "[]")
    write_lines(folder / "searches_broken.jsonl", json.dumps(broken_search), '{"request_id": ')
    return folder


@pytest.fixture(scope="module")
def expected(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Contents:
    """What the DirectRunner makes of them."""
    data = tmp_path_factory.mktemp("direct") / "data"
    done = subprocess.run(pipeline(raw, data), cwd=CODE, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    made = contents(data)
    for name in ("train-", "validation-", "eval-", "catalog-", "vocab/", "rejected/"):
        assert any(records for file, records in made.items() if file.startswith(name)), f"no {name} to compare"
    return made


@pytest.fixture
def cluster(runner: Runner, tmp_path: Path) -> Iterator[FlinkCluster]:
    with FlinkCluster(runner.jar, tmp_path / "cluster", CODE) as cluster:
        yield cluster


def test_flink_makes_the_same_records(cluster: FlinkCluster, raw: Path, expected: Contents, tmp_path: Path) -> None:
    job = start_job(cluster, raw, tmp_path / "data")
    finish(cluster, job)
    assert not differences(expected, contents(tmp_path / "data"))


def test_a_task_manager_killed_on_the_way_changes_nothing(
    cluster: FlinkCluster, raw: Path, expected: Contents, tmp_path: Path
) -> None:
    job = start_job(cluster, raw, tmp_path / "data")
    wait_until_half_way(cluster, job, tmp_path / "data")
    cluster.kill_task_manager()
    finish(cluster, job)
    (flink_job,) = cluster.jobs()
    assert cluster.failures(flink_job), "the job did not notice that a TaskManager was killed"
    assert not differences(expected, contents(tmp_path / "data"))


@pytest.mark.timeout(2 * BOT_SECONDS)
def test_a_bot_neither_kills_a_worker_nor_moves_another_users_record(
    cluster: FlinkCluster, raw: Path, tmp_path: Path
) -> None:
    few, many = (shutil.copytree(raw, tmp_path / name / "raw") for name in ("few", "many"))
    write_bot(few, range(BOT_EVENTS - KEPT_EVENTS, BOT_EVENTS))
    write_bot(many, range(BOT_EVENTS))
    subprocess.run(pipeline(few, tmp_path / "few" / "data"), cwd=CODE, check=True)
    finish(cluster, start_job(cluster, many, tmp_path / "many" / "data"), BOT_SECONDS)
    (flink_job,) = cluster.jobs()
    assert not cluster.failures(flink_job)
    expected, found = (records_of(tmp_path / name / "data") for name in ("few", "many"))
    assert not differences(expected, found)
    actions = json.loads((tmp_path / "many" / "data" / "stats.json").read_text())["streams"]["actions"]
    assert actions["excluded"]["over user cap"] == BOT_EVENTS - KEPT_EVENTS


def write_bot(raw: Path, numbers: range) -> None:
    """So many clicks of one user on items of the catalogue, twenty a second from the first search on."""
    items = [one["item_id"] for one in itertools.islice(lines_of(raw / "catalog.jsonl.gz"), 20)]
    first = next(lines_of(raw / "searches.jsonl.gz"))["ts"]
    with open(raw / "actions_bot.jsonl", "w") as file:
        file.writelines(
            f'{{"ts": {first + number * 50}, "user_id": "bot", "item_id": "{items[number % 20]}", "action": "click"}}\n'
            for number in numbers
        )


def lines_of(path: Path) -> Iterator[dict[str, Any]]:
    with gzip.open(path) as file:
        yield from map(json.loads, file)


def records_of(data: Path) -> Contents:
    """What models are trained on."""
    return {name: records for name, records in contents(data).items() if name.endswith((".gz", ".txt"))}


def write_lines(path: Path, *lines: str) -> None:
    path.write_text("".join(f"{line}\n" for line in lines))


def simulate(folder: Path) -> None:
    size = ["--items", "3000", "--users", "1500", "--days", "10", "--seed", "5"]
    command = [sys.executable, "-m", "preprocessing.simulate", "--output", str(folder), *size]
    subprocess.run(command, cwd=CODE, check=True)


def pipeline(raw: Path, data: Path, *beam_args: str) -> list[str]:
    paths = ["--config", str(CONFIG), "--input", str(raw), "--output", str(data)]
    return [sys.executable, "-m", "preprocessing.pipeline", *paths, *beam_args]


def start_job(cluster: FlinkCluster, raw: Path, data: Path) -> subprocess.Popen[bytes]:
    return cluster.processes.start("pipeline", pipeline(raw, data, *cluster.beam_args()), cwd=CODE)


def finish(cluster: FlinkCluster, job: subprocess.Popen[bytes], seconds: float = JOB_SECONDS) -> None:
    status = job.wait(timeout=seconds)
    assert status == 0, f"the pipeline ended with {status}\n{cluster.processes.tails()}"


def wait_until_half_way(cluster: FlinkCluster, job: subprocess.Popen[bytes], data: Path) -> None:
    """Until some files are whole and some steps done, so that a restart finds both, while others still work."""
    deadline = time.monotonic() + JOB_SECONDS
    while time.monotonic() < deadline:
        assert job.poll() is None, f"the pipeline ended before it was half way\n{cluster.processes.tails()}"
        states = {state for name in cluster.jobs() for state in cluster.vertex_states(name)}
        if {"FINISHED", "RUNNING"} <= states and whole_files(data):
            return
        time.sleep(0.1)
    pytest.fail(f"the pipeline was not half way after {JOB_SECONDS:.0f} s\n{cluster.processes.tails()}")


def whole_files(data: Path) -> list[Path]:
    """What is written already, in whichever place it waits for the end of the job."""
    return [path for path in data.rglob("*") if path.is_file() and not path.name.endswith(".part")]
