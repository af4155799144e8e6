"""python -m trainer.gate: a job goes on, or is stopped, by a figure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from preprocessing.command.console import UserError
from trainer.gate import main


def evaluated(folder: Path, recall: float) -> str:
    """A job folder with what `trainer.evaluate` writes."""
    folder.mkdir()
    figures = {"recall@100/clicked": {"mean": recall}, "ndcg@100/clicked": {"mean": 0.9}}
    (folder / "metrics.json").write_text(json.dumps({"job": "new", "models": {"new": figures, "BM25": {}}}))
    return str(folder)


def test_a_bound(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job = evaluated(tmp_path / "new", 0.5)
    assert main(["--job-dir", job, "--least", "0.5"]) == 0
    assert f"recall@100/clicked of {job} is 0.5000: passed" in capsys.readouterr().out
    assert main(["--job-dir", job, "--least", "0.6", "--figure", "ndcg@100/clicked"]) == 0
    with pytest.raises(SystemExit) as stopped:
        main(["--job-dir", job, "--least", "0.51"])
    assert stopped.value.code == 1
    assert f"recall@100/clicked of {job} is 0.5000, below --least 0.5100" in capsys.readouterr().err


@pytest.mark.parametrize(("drop", "passes"), [("0.06", True), ("0.04", False)])
def test_another_job(drop: str, passes: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    job, live = evaluated(tmp_path / "new", 0.5), evaluated(tmp_path / "live", 0.55)
    flags = ["--job-dir", job, "--baseline", live, "--drop", drop]
    if passes:
        assert main(flags) == 0
        return
    with pytest.raises(SystemExit) as stopped:
        main(flags)
    assert stopped.value.code == 1
    assert f"below 0.5500 of {live} less --drop 0.0400" in capsys.readouterr().err


def test_mistakes(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such file; run python -m trainer\.evaluate"):
        main(["--job-dir", str(tmp_path / "none")])
    with pytest.raises(UserError, match=r"--figure recall@100/click: not in .*did you mean 'recall@100/clicked'"):
        main(["--job-dir", evaluated(tmp_path / "new", 0.5), "--figure", "recall@100/click"])
