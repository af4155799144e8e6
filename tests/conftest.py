"""TensorFlow's environment, set before any test imports it, and what is made once for all tests."""

from __future__ import annotations

from pathlib import Path

import pytest

import preprocessing  # noqa: F401
from tests.made_once import MadeOnce


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that the workers of a run share."""
    return MadeOnce(tmp_path_factory)


@pytest.fixture(scope="session")
def market(made_once: MadeOnce) -> Path:
    """The raw logs of a market of 400 items in `raw/`, its records in `data/`; to be read only."""
    from tests.serving.experiment import make_data

    return made_once("market", make_data)
