"""A small simulated market, preprocessed once for all tests of the trainer."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.config import PreprocessingConfig
from preprocessing.pipeline import run
from preprocessing.simulate import simulate
from trainer import dataset
from trainer.config import TrainerConfig

SMALL = {"model": {"dim": 16, "heads": 2}, "loss": {"shared_negatives": 64}, "batch": 32, "epochs": 2}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder: Path = tmp_path_factory.mktemp("market")
    simulate(folder / "raw", items=400, users=150, days=36, seed=3)
    run(PreprocessingConfig(), str(folder / "raw"), str(folder / "data"), [])
    return str(folder / "data")


@pytest.fixture(scope="session")
def spec(data: str) -> dataset.Spec:
    return dataset.read_spec(data)


@pytest.fixture
def small() -> TrainerConfig:
    return TrainerConfig.model_validate(SMALL)
