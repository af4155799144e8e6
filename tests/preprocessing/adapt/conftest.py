"""A command with a mistake in it, for every test that looks at what is told."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from preprocessing.adapt import main
from preprocessing.console import run_command

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[2] / "e2e")]


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command with a mistake in it; its one line."""

    def run(*argv: object) -> str:
        with pytest.raises(SystemExit) as end:
            run_command(lambda _: main([str(one) for one in argv]))
        error = capsys.readouterr().err
        assert end.value.code == 2, error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error

    return run
