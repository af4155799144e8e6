"""Whose folder it is: what this pipeline made is replaced, anything else is left alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.command.console import UserError
from preprocessing.data.data_folder import FAILED, SPEC, STARTED, SUCCESS, DataFolder


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def fill(folder: Path, *names: str) -> DataFolder:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return DataFolder(str(folder))


@pytest.mark.parametrize(
    "names",
    [
        ("config.yaml", "catalog-2024.jsonl"),  # raw logs beside a config of the user's
        ("_SUCCESS", "catalog-00000.jsonl"),  # what Spark leaves
        ("FAILED", "train-1.csv"),
        ("spec.json", "rejected-forms.txt"),
        ("stats.json",),
        ("_staging/train-00000-of-00001.tfrecord.gz",),  # somebody else's staging
        ("thesis.txt",),
    ],
)
def test_a_folder_without_our_mark_is_not_touched(tmp_path: Path, names: tuple[str, ...]) -> None:
    folder = fill(tmp_path, *names)
    with pytest.raises(UserError, match="holds files that are not this pipeline's"):
        folder.prepare()
    assert files(tmp_path) == set(names)


@pytest.mark.parametrize("mark", [(SUCCESS, SPEC), (FAILED, SPEC), (STARTED,), (FAILED, STARTED)])
def test_our_own_is_cleared_and_what_is_not_ours_in_it_stays(tmp_path: Path, mark: tuple[str, ...]) -> None:
    made = (
        "train-00001-of-00002.tfrecord.gz",
        "vocab/word.txt",
        "rejected/actions-00000.jsonl",
        "_staging/counts.json",
    )
    folder = fill(tmp_path, *mark, *made, "catalog-2024.jsonl", "notes/vocab/mine.txt")
    folder.prepare()
    assert files(tmp_path) == {STARTED, "catalog-2024.jsonl", "notes/vocab/mine.txt"}
    assert folder.staged() == []


def test_killed_at_any_moment_it_is_still_known_as_ours(tmp_path: Path) -> None:
    folder = fill(tmp_path, SUCCESS, SPEC, "vocab/word.txt")
    folder.prepare()
    fill(tmp_path, "_staging/vocab-word.txt", SPEC, "stats.json")  # finishing
    DataFolder(str(tmp_path)).prepare()
    assert files(tmp_path) == {STARTED}
    folder.close(FAILED)
    assert files(tmp_path) == {FAILED}
    assert not (tmp_path / "_staging").exists()
