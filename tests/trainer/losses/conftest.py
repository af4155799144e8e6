"""The small case, made once."""

from __future__ import annotations

import pytest

from tests.trainer.losses.case import Case


@pytest.fixture(scope="session")
def case() -> Case:
    return Case()
