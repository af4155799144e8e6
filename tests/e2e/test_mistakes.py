"""A user's mistake: one line that names it, exit status 2, nothing half done. And a run that is killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from preprocessing.command.console import run_command
from preprocessing.pipeline import main
from tests.e2e import market
from tests.e2e.conftest import Run

Prepare = Callable[[Path], list[str]]  # changes the raw folder; returns flags
DEMO = str(market.ROOT / "configs" / "demo.yaml")


def told(capsys: pytest.CaptureFixture[str], raw: Path, data: Path, *flags: str) -> tuple[int, str]:
    """Exit status and standard error of the command."""

    def command(_: list[str] | None) -> int:
        return main(["--config", DEMO, "--input", str(raw), "--output", str(data), *flags])

    with pytest.raises(SystemExit) as end:
        run_command(command)
    return int(end.value.code or 0), capsys.readouterr().err


def replace(name: str, content: bytes) -> Prepare:
    def prepare(raw: Path) -> list[str]:
        (raw / name).write_bytes(content)
        return []

    return prepare


def flags(*given: str) -> Prepare:
    return lambda raw: list(given)


IN_2099 = {"ts": 4_080_000_000_000, "request_id": "from the future"}
MISTAKES: dict[str, tuple[Prepare, str]] = {
    "wrong input": (flags("--input", "/nowhere"), "no file matches /nowhere/"),
    "wrong config": (flags("--config", "/nowhere.yaml"), "/nowhere.yaml: no such config"),
    "unknown key": (flags("--set", "preprocessing.sed=1"), "did you mean 'seed'"),
    "bad override": (flags("--set", "preprocessing.seed"), "--set preprocessing.seed: expected"),
    "unknown flag": (flags("--runer=DirectRunner"), "unknown flag --runer; did you mean '--runner'"),
    "stray word": (flags("data2"), "unknown flag data2"),
    "empty stream": (replace("searches.jsonl", b""), "searches.jsonl holds no usable record"),
    "another stream": (flags("--set", "preprocessing.input.searches.pattern=actions*"), "actions.jsonl can be read"),
    "column map": (
        flags("--set", "preprocessing.input.actions={pattern: actions*, columns: {user_id: client}}"),
        "missing user_id",
    ),
    "unknown column": (
        flags("--set", "preprocessing.input.catalog={pattern: catalog*, columns: {titel: name}}"),
        "catalog.columns: unknown field 'titel'; did you mean 'title'",
    ),
    "column that is always empty": (
        flags("--set", "preprocessing.input.catalog={pattern: catalog*, columns: {price: preis}}"),
        "catalog: price is empty in all 202 records: is 'preis' in preprocessing.input.catalog.columns its name there?",
    ),
    "broken gzip": (flags("--set", "preprocessing.input.actions.pattern=broken.jsonl.gz"), "cannot read"),
    "no eval day to cut": (flags("--set", "preprocessing.split.eval_days=400"), "no train example"),
    "output over the raw logs": (lambda raw: ["--output", str(raw)], "lie in one another"),
    "output in the raw logs": (lambda raw: ["--output", str(raw / "data")], "lie in one another"),
    "no such ending": (flags("--set", "preprocessing.input.actions.pattern=table.csv"), "neither JSON Lines"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_one_line_and_exit_2(name: str, finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prepare, message = MISTAKES[name]
    raw, data = market.write(finished.log, tmp_path / "raw"), tmp_path / "data"
    (raw / "broken.gz").write_bytes(b"no gzip")
    (raw / "broken.gz").rename(raw / "broken.jsonl.gz")
    (raw / "table.csv").write_bytes(b"a,b")
    status, error = told(capsys, raw, data, *prepare(raw))
    assert status == 2
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (data / "_SUCCESS").exists()


def test_a_folder_of_other_files_is_not_touched(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    status, error = told(capsys, finished.raw, tmp_path)
    assert (status, error.count("\n")) == (2, 1)
    assert f"--output {tmp_path} holds files that are not this pipeline's" in error
    assert [path.name for path in tmp_path.rglob("*")] == ["thesis.txt"]


def test_too_many_rejected_fail_the_job_and_stay_to_be_read(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, data = market.write(finished.log, tmp_path / "raw"), tmp_path / "data"
    with open(raw / "searches.jsonl", "ab") as file:
        file.write(b"{broken\n\xff\xfe\n" * 40)
    status, error = told(capsys, raw, data)
    assert (status, error.count("\n")) == (2, 1)
    assert "searches: 80 of 682 records were rejected (11.7%, allowed 5%), mostly for 'unparsable'" in error
    assert (data / "FAILED").read_text()
    assert not (data / "_SUCCESS").exists()
    assert sum(line["stream"] == "searches" for line in market.rejected(data)) == 80
    stats = market.process(raw, data, settings=market.config("preprocessing.input.max_rejected_share=0.2"))
    assert stats["examples"] == finished.stats["examples"]
    assert not (data / "FAILED").exists()


def test_one_clock_in_2099_moves_nothing(finished: Run, tmp_path: Path) -> None:
    log = finished.log._replace(searches=[*finished.log.searches, {**finished.log.searches[0], **IN_2099}])
    stats = market.process(market.write(log, tmp_path / "raw"), tmp_path / "data")
    assert stats["eval_from"] == finished.stats["eval_from"]
    assert stats["examples"] == finished.stats["examples"]
    assert stats["searches_of_stray_clocks"] == 1


def test_a_split_without_evaluation_fails_with_one_line(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cut = finished.stats["eval_from_ms"]
    log = finished.log._replace(actions=[one for one in finished.log.actions if one["ts"] < cut - 60_000])
    status, error = told(capsys, market.write(log, tmp_path / "raw"), tmp_path / "data")
    assert (status, error.count("\n")) == (2, 1)
    assert "no eval example came out: no request from 20" in error
    assert not (tmp_path / "data" / "_SUCCESS").exists()


def test_a_file_that_breaks_off_stops_the_job_with_one_line(
    finished: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    raw, data = market.write(finished.log, tmp_path / "raw"), tmp_path / "data"
    more = raw / "actions-more.jsonl.gz"
    market.write_gzip(more, (raw / "actions.jsonl").read_bytes())
    (raw / "actions.jsonl").rename(raw / "actions-first.jsonl")  # the one that is looked into
    more.write_bytes(more.read_bytes()[:2_000] + b"\0" * 100)
    status, error = told(capsys, raw, data)
    assert status == 1
    assert error.count("\n") == 1
    assert "the pipeline stopped" in error
    assert "actions-more.jsonl.gz: " in error
    assert "Traceback" in (data / "FAILED").read_text()
    assert not (data / "_SUCCESS").exists()


def test_a_killed_run_is_not_taken_for_whole_and_a_rerun_is_like_a_first(finished: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "preprocessing.pipeline", "--config", DEMO]
    command += ["--input", str(finished.raw), "--output", str(data)]
    command += ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    process = subprocess.Popen(command, cwd=market.ROOT, start_new_session=True, stdout=subprocess.DEVNULL)
    while process.poll() is None and not any((data / "_staging").glob("*.txt")):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert any((data / "_staging").iterdir())
    assert not (data / "_SUCCESS").exists()
    market.process(finished.raw, data)
    assert market.content(data) == market.content(finished.data)
