"""Folders of jobs and of seeds, evaluated as one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from preprocessing.command.console import UserError
from tests.trainer.conftest import flags, write_config
from trainer import evaluate, task
from trainer.evaluation.contest import entries
from trainer.job.job_folder import Job


@pytest.fixture(scope="module")
def trained(data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`seeds/` with two seeds, and `alone/`, the second of them trained alone."""
    folder = tmp_path_factory.mktemp("seeds")
    settings = write_config(folder, model="tfrs")
    assert task.main([*flags(settings, data, folder / "seeds"), "--seeds", "2"]) == 0
    assert task.main(list(flags(settings, data, folder / "alone", "seed=18"))) == 0
    return folder


def test_a_seed_is_the_job_trained_alone(trained: Path, data: str) -> None:
    alone, second = (restored(trained / name, data) for name in ("alone", "seeds/seed-18"))
    assert np.array_equal(alone, second)
    assert not np.array_equal(alone, restored(trained / "seeds/seed-17", data))
    assert [Job(str(trained / f"seeds/seed-{seed}")).config().seed for seed in (17, 18)] == [17, 18]


def restored(job: Path, data: str) -> np.ndarray:
    """A job's vectors of some requests."""
    from trainer.data.dataset import requests
    from trainer.job.restore import restore

    return restore(str(job), data).query(next(iter(requests(data, "eval", 5)))).numpy()


def test_seeds_are_evaluated_as_one(trained: Path, data: str) -> None:
    folder, alone = str(trained / "seeds"), str(trained / "alone")
    shape = ["--data", data, "--k", "10,50"]
    assert evaluate.main([*shape, "--job-dir", folder, "--compare", alone, "--compare", f"{folder}/seed-17"]) == 0
    found = json.loads((trained / "seeds/metrics.json").read_text())
    models, minus = found["models"], found["job_minus"]
    assert found["seeds"] == {"seeds": 2, "alone": 1, "seed-17": 1} and (trained / "seeds/report.html").exists()
    for name in ("recall@50/clicked", "ndcg@10/ordered", "coverage@10"):
        one, other = models["alone"][name]["mean"], models["seed-17"][name]["mean"]
        assert models["seeds"][name]["mean"] == pytest.approx((one + other) / 2, abs=2e-5)
        assert minus["alone"][name]["mean"] == pytest.approx((other - one) / 2, abs=3e-5)


def test_mistakes(trained: Path, data: str) -> None:
    settings = str(trained / "experiment.yaml")
    with pytest.raises(UserError, match="alone is one job; name another folder for --seeds 2"):
        task.main([*flags(settings, data, trained / "alone"), "--seeds", "2"])
    with pytest.raises(UserError, match="seeds holds 2 jobs, one a seed; give --seeds, or another folder"):
        task.main(list(flags(settings, data, trained / "seeds")))
    with pytest.raises(UserError, match="--seeds 0: at least 1"):
        task.main([*flags(settings, data, trained / "none"), "--seeds", "0"])
    with pytest.raises(UserError, match="no checkpoint in it yet"):
        entries([str(trained / "none")], data)
