"""Says in one line what the distributed tests run on, or why they do not."""

from __future__ import annotations

import pytest
from flink_artifacts import Runner, missing_tool, resolve

_RUNNER = pytest.StashKey[Runner]()


@pytest.fixture(scope="session")
def runner(pytestconfig: pytest.Config) -> Runner:
    """The Flink runner, downloaded at its first use."""
    lack = missing_tool()
    if lack:
        pytest.skip(lack)
    pytestconfig.stash[_RUNNER] = resolve()
    return pytestconfig.stash[_RUNNER]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lack, runner = missing_tool(), config.stash.get(_RUNNER, None)
    if lack:
        terminalreporter.write_line(f"Flink tests skipped: {lack}")
    elif runner:
        terminalreporter.write_line(f"Flink tests ran on {runner}")
