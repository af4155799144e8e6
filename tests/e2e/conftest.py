"""One run over one odd log, for every test that looks at what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.e2e import market


class Run(NamedTuple):
    """A log, the folders and the statistics."""

    log: market.Log
    raw: Path
    data: Path
    stats: dict[str, Any]


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("run")
    log = market.make()
    raw = market.write(log, folder / "raw")
    return Run(log, raw, folder / "data", market.process(raw, folder / "data"))
