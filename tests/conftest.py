"""TensorFlow's environment, set before any test imports it, what is made once for all tests, and what runs first."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from hypothesis import settings

import preprocessing  # noqa: F401
from tests.made_once import MadeOnce

settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

# Files of a minute or more: were one the last, the other worker would wait for it.
LONGEST_FIRST = (
    "test_demo.py",
    "test_item_vectors.py",
    "test_first_day.py",
    "test_shard_channels.py",
    "test_distribution.py",
    "test_fit.py",
    "test_tune.py",
    "test_task.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The order in which files are handed to the workers."""
    places = {name: place for place, name in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.name, len(places)))


def pytest_collection_finish() -> None:
    """What is loaded by now stays: the garbage collector need not look at it after every test."""
    gc.freeze()


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Folders that the workers of a run share."""
    return MadeOnce(tmp_path_factory)


@pytest.fixture(scope="session")
def market(made_once: MadeOnce) -> Path:
    """The raw logs of a market of 400 items in `raw/`, its records in `data/`; to be read only."""
    from tests.serving.experiment import make_data

    return made_once("market", make_data)
