"""Whether a job's weights fit another's config and data, told in one line before anything is written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from preprocessing.command.console import UserError
from trainer.config import TrainerConfig
from trainer.job.job_folder import Job
from trainer.job.origin import Origin
from trainer.task import train

Config = Callable[..., TrainerConfig]


@pytest.fixture(scope="module")
def trained(earlier: str, config: Config, tmp_path_factory: pytest.TempPathFactory) -> str:
    job = tmp_path_factory.mktemp("origin") / "job"
    train(config("dnn", "training.steps=2"), earlier, str(job))
    return str(job)


@pytest.mark.parametrize(
    ("model", "overrides", "said"),
    [
        ("tfrs", (), r"trainer\.model was 'dnn', now 'tfrs'"),
        ("dnn", ("dnn.dim=8",), r"trainer\.dnn\.dim was 16, now 8"),
        ("dnn", ("optimizer.dense=adagrad",), r"trainer\.optimizer\.dense was 'adam', now 'adagrad'"),
    ],
)
def test_another_model(
    model: str, overrides: tuple[str, ...], said: str, trained: str, data: str, config: Config, tmp_path: Path
) -> None:
    settings = config(model, f"init.job={trained}", *overrides)
    with pytest.raises(UserError, match=rf"^--init-from {trained} does not fit: {said}; .*leave out --init-from$"):
        train(settings, data, str(tmp_path / "job"))
    assert not (tmp_path / "job").exists()


def test_what_may_differ(trained: str, data: str, config: Config) -> None:
    free = ("optimizer.dense_rate=0.1", "seed=3", "data.batch=32", "loss.temperature=0.5")
    Origin(config("dnn", f"init.job={trained}", *free), data)
    Origin(config("dnn", f"init.job={trained}", "optimizer.dense=adagrad", "init.optimizer=false"), data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"text": {"max_words": 7}}, r"preprocessing\.text\.max_words was 32, now 7"),
        (
            {"vocabularies": {"word": {"hash_buckets": 9}}},
            r"preprocessing\.vocabularies\.word\.hash_buckets was \d+, now 9",
        ),
    ],
)
def test_other_data(change: dict, said: str, trained: str, data: str, config: Config, tmp_path: Path) -> None:
    shutil.copytree(data, tmp_path / "data")
    spec = json.loads((tmp_path / "data/spec.json").read_text())
    for part, values in change.items():
        for name, value in values.items():
            spec[part][name] = spec[part][name] | value if isinstance(value, dict) else value
    (tmp_path / "data/spec.json").write_text(json.dumps(spec))
    with pytest.raises(UserError, match=rf"does not fit --data {tmp_path}/data: {said}; make the records"):
        Origin(config("dnn", f"init.job={trained}"), f"{tmp_path}/data")


def test_no_whole_job(trained: str, data: str, config: Config, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=rf"--init-from {tmp_path}/none: no config\.yaml in it"):
        Origin(config("dnn", f"init.job={tmp_path}/none"), data)
    shutil.copytree(trained, tmp_path / "half")
    shutil.rmtree(tmp_path / "half/towers")
    with pytest.raises(UserError, match=rf"--init-from {tmp_path}/half: no towers in it yet"):
        Origin(config("dnn", f"init.job={tmp_path}/half"), data)


def test_its_requests_have_been_seen(trained: str, data: str, config: Config, tmp_path: Path) -> None:
    """What the origin was chosen by is not what the next job is reported on."""
    told = json.loads(Path(trained, "data.json").read_text())
    shutil.copytree(trained, tmp_path / "later")
    (tmp_path / "later/data.json").write_text(json.dumps(told | {"chosen_until_ms": 10**13}))
    job = Job(str(tmp_path / "job"))
    job.begin(config("dnn", f"init.job={tmp_path}/later"), data)
    assert job.chosen_until_ms == 10**13
    with pytest.raises(UserError, match="chosen by requests until"):
        job.check_unseen(data)
