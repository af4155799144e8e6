"""A job folder belongs to one config and one data folder."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from preprocessing.command.console import UserError
from trainer.config import TrainerConfig
from trainer.job.job_folder import Job, fingerprint

Config = Callable[..., TrainerConfig]


def test_begun_it_knows_its_config_and_its_data(config: Config, data: str, tmp_path: Path) -> None:
    job = Job(f"{tmp_path}/job/")
    job.begin(config("mmse"), data)
    job.begin(config("mmse", "distribution.strategy=mirrored"), data)  # on other machines it is the same job
    assert job.path == f"{tmp_path}/job" and job.config() == config("mmse")
    begun = json.loads(Path(job.path, "data.json").read_text())
    assert (begun["path"], begun["fingerprint"]) == (data, fingerprint(data))
    assert not list(Path(job.path).glob("*.part"))
    with pytest.raises(UserError, match=r"is of another config: trainer\.mmse\.dim was 8, now 4"):
        job.begin(config("mmse", "mmse.dim=4"), data)


def test_what_chose_a_job_is_not_what_it_is_reported_on(config: Config, data: str, tmp_path: Path) -> None:
    job = Job(f"{tmp_path}/job")
    job.begin(config("mmse"), data)
    job.check_unseen(data)
    earlier = tmp_path / "earlier"
    shutil.copytree(data, earlier)
    spec = json.loads((earlier / "spec.json").read_text())
    (earlier / "spec.json").write_text(json.dumps(spec | {"eval_from_ms": spec["validation_from_ms"]}))
    with pytest.raises(UserError, match=r"its eval requests begin at \S+, but --job-dir .* chosen by requests until"):
        job.check_unseen(str(earlier))


def test_what_chose_a_config_is_not_what_its_job_is_reported_on(config: Config, data: str, tmp_path: Path) -> None:
    """A search over later data chose the values of a job that is trained on earlier data."""
    begins = json.loads(Path(data, "spec.json").read_text())["eval_from_ms"]
    for until, seen in ((begins - 1, False), (begins, False), (begins + 1, True)):
        job = Job(f"{tmp_path}/{until}")
        job.begin(config("mmse", f"tune.chosen_until_ms={until}"), data)
        if seen:
            with pytest.raises(UserError, match="chosen by requests until"):
                job.check_unseen(data)
        else:
            job.check_unseen(data)


def test_what_was_never_trained(config: Config, data: str, tmp_path: Path) -> None:
    job = Job(f"{tmp_path}/job")
    with pytest.raises(UserError, match=r"no config\.yaml in it; train it with python -m trainer\.task first"):
        job.config()
    job.begin(config("mmse"), data)
    with pytest.raises(UserError, match="no checkpoint in it yet"):
        job.best_checkpoint()
