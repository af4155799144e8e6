"""The end of a batch job: by the launcher or by the job itself, broken off, and done again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from serving.batch.commit import finish
from serving.batch.input_files import find
from serving.batch.jobs import Job
from serving.batch.output_folder import BatchFolder
from serving.batch.run import JobStopped
from serving.batch.run import run as run_or_launch
from tests.serving.batch.batches import embedding, record, run, vectors_by_id, write
from tests.serving.market import shelf

TEMPLATE = ["--template_location=anywhere"]


def catalogue(data: str, path: Path, count: int) -> str:
    """A few of the market's items, and a line that is none."""
    items = shelf(data)
    return write(path, [*(record(items, row) for row in range(count)), b"broken"])


def manifest(output: Path) -> dict[str, Any]:
    return {name: value for name, value in json.loads((output / "batch.json").read_text()).items() if name != "created"}


def names(output: Path) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.is_file() and path.name != ".lock"}


def test_the_job_finishes_itself_as_the_command_would(job: str, data: str, tmp_path: Path) -> None:
    """As a template: nobody waits for it."""
    for count in (40, 50, 50):  # all new, then some, then none
        source = find(catalogue(data, tmp_path / "a.jsonl", count))
        run(embedding(job, tmp_path / "waited"), source)
        assert run_or_launch(embedding(job, tmp_path / "launched"), source, TEMPLATE) is None
        assert manifest(tmp_path / "launched") == manifest(tmp_path / "waited")
        assert names(tmp_path / "launched") == names(tmp_path / "waited")
    assert manifest(tmp_path / "launched")["generation"] == 2
    assert vectors_by_id(tmp_path / "launched").keys() == vectors_by_id(tmp_path / "waited").keys()


def test_a_launched_job_fails_where_the_command_would(job: str, data: str, tmp_path: Path) -> None:
    source = find(catalogue(data, tmp_path / "a.jsonl", 4))
    with pytest.raises(JobStopped, match="1 of 5 records were rejected"):
        run_or_launch(embedding(job, tmp_path / "out"), source, TEMPLATE)
    assert not (tmp_path / "out" / "batch.json").exists()


@pytest.fixture
def staged(job: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Job, dict[str, Any]]:
    """A job whose second run has staged everything, and the manifest of its first."""
    asked = embedding(job, tmp_path / "out")
    run(asked, find(catalogue(data, tmp_path / "a.jsonl", 40)))
    before = BatchFolder(asked.output).manifest()
    assert before is not None

    def dies(self: BatchFolder, plan: dict[str, Any]) -> None:
        raise UserError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(BatchFolder, "publish", dies)
        with pytest.raises(UserError, match="the machine is gone"):
            run(asked, find(catalogue(data, tmp_path / "a.jsonl", 50)))
    return asked, before


@pytest.mark.parametrize("moves", [1, 3])  # among the files, and at the manifest
def test_finishing_broken_off_and_repeated(
    moves: int, staged: tuple[Job, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a worker that dies in the last step, and another that does it again: readers always find a whole run."""
    asked, before = staged
    output, rename, moved = Path(asked.output), FileSystems.rename, list[str]()

    def dying(sources: list[str], targets: list[str]) -> None:
        if len(moved) == moves:
            raise OSError("the worker is gone")
        moved.extend(sources)
        rename(sources, targets)

    with monkeypatch.context() as patch:
        patch.setattr(FileSystems, "rename", dying)
        with pytest.raises(OSError, match="the worker is gone"):
            finish(asked, before)
    assert len(vectors_by_id(output)) == 40
    outcome = finish(asked, before)
    assert outcome.changed and outcome.manifest["counts"]["added"] == 10
    (output / "vectors-00009-00000-of-00001.parquet").write_text("of an attempt that was never named")
    assert finish(asked, before).manifest == outcome.manifest
    assert len(vectors_by_id(output)) == 50
    assert names(output) == {"batch.json", outcome.manifest["rejected_file"], *outcome.manifest["files"]}


def test_finishing_again_where_nothing_changed(job: str, data: str, tmp_path: Path) -> None:
    asked, source = embedding(job, tmp_path / "out"), find(catalogue(data, tmp_path / "a.jsonl", 40))
    first = run(asked, source)
    again = run(asked, source)
    assert not again.changed and not finish(asked, first.manifest).changed
    assert manifest(tmp_path / "out")["generation"] == 1
