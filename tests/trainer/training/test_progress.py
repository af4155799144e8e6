"""What a person sees of a running job, on a terminal and in a log."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from trainer.training import progress
from trainer.training.progress import display


def test_lines_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with display("dnn", total=20, done=10) as shown:
        shown.step(12, loss=2.5, speed=1234.0)
        shown.step(14, loss=2.0, speed=1234.0)  # at once: one line in ten seconds is enough
        shown.recall(14, figure="recall@100", recall=0.25, best=True)
        shown.step(20, loss=1.5, speed=1234.0)
    first, recall, last = capsys.readouterr().err.splitlines()
    assert first.startswith("step 12/20  1,234 examples/s  loss 2.5000  ")
    assert recall == "step 14: recall@100 0.2500 (best)"
    assert last.startswith("step 20/20  1,234 examples/s  loss 1.5000  recall 0.2500  ")


def test_a_bar_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=screen, force_terminal=True, width=160))
    with display("dnn", total=20, done=10) as shown:
        shown.recall(14, figure="recall@100", recall=0.25, best=False)
        shown.step(20, loss=1.5, speed=1234.0)
    said = screen.getvalue()
    assert "step 14: recall@100 0.2500\n" in said.replace("\r", "") and "20/20" in said
    assert "1,234 examples/s  loss 1.5000  recall 0.2500" in said


def test_a_worker_says_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with display("dnn", total=20, done=0, shown=False) as shown:
        shown.step(20, loss=1.5, speed=1234.0)
        shown.recall(20, figure="recall@100", recall=0.25, best=True)
    assert capsys.readouterr() == ("", "")
