"""Shards built by workers: broken off they go on, and a mistake is one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.command.console import UserError
from serving.batch.run import JobStopped
from serving.config import ServingConfig
from serving.export import export, main
from serving.graph.saved_model import ServedModel
from serving.sharding import deal_items, shard_model
from serving.sharding.build_shards import begin
from serving.sharding.deal_items import DealItems
from serving.sharding.sharded_publish import BUILDING, ShardedRelease
from tests.serving.market import deal_out

Config = Callable[..., ServingConfig]
SHARDS = 2


@pytest.fixture(scope="module")
def settings(config: Config) -> ServingConfig:
    return config("index=brute_force")


def answers(folder: Path) -> list[Any]:
    """What the shards of a folder's version find."""
    listed = json.loads((folder / "shards.json").read_text())
    found = []
    for place in listed["shards"]:
        with ServedModel(str(folder / place["name"] / str(listed["version"])), False) as model:
            dim = model.signatures["search"].inputs["embedding"].tensor_shape.dim[1].size
            vectors = np.random.default_rng(17).normal(size=(3, dim)).astype(np.float32)
            answer = model.call("search", {"embedding": vectors, "k": np.array([50, 7, 1000], np.int32)})
            found.append({name: one.tolist() for name, one in answer.items()})
    return found


def test_broken_off_it_goes_on(
    job: str,
    data: str,
    settings: ServingConfig,
    exported_shards: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker dies in the last shard, then the launcher while models are put in place: the same command ends it."""
    output, make = tmp_path / "models", shard_model.MakeShardModel.__call__
    made: list[int] = []

    def dies(self: shard_model.MakeShardModel, number: int) -> None:
        if number == SHARDS - 1 and not made[1:]:
            made.append(-1)
            raise RuntimeError("the machine is gone")
        make(self, number)
        made.append(number)

    monkeypatch.setattr(shard_model.MakeShardModel, "__call__", dies)
    with pytest.raises(JobStopped, match=r"the machine is gone.*the same command goes on"):
        export(settings, job, data, str(output), shards=SHARDS)
    assert not (output / "shards.json").exists() and not list((output / BUILDING).rglob("*.part"))
    monkeypatch.setattr(DealItems, "__call__", _never)
    with monkeypatch.context() as patch:
        patch.setattr(ShardedRelease, "_settle_shards", _killed)
        with pytest.raises(KeyboardInterrupt):
            export(settings, job, data, str(output), shards=SHARDS)
    assert made == [0, -1, 1]  # what was there is not made again
    assert export(settings, job, data, str(output), shards=SHARDS) == 0
    assert made == [0, -1, 1, 0, 1]  # but what was taken out of the build's folder is
    assert answers(output) == answers(exported_shards) and not (output / BUILDING).exists()


def _never(*_: Any) -> None:
    raise AssertionError("made again")


def _killed(*_: Any) -> None:
    raise KeyboardInterrupt


def test_another_build_begins_anew(tmp_path: Path) -> None:
    folder, made = tmp_path / "building", tmp_path / "building" / "parts" / "00000"
    begin(folder, {"shards": 2})
    made.mkdir(parents=True)
    begin(folder, {"shards": 2})
    assert made.is_dir()
    begin(folder, {"shards": 3})
    assert not made.exists()


@pytest.mark.parametrize("file", [0, 1])
def test_an_id_twice(job: str, data: str, settings: ServingConfig, tmp_path: Path, file: int) -> None:
    """In one file of the catalogue, or in two."""
    twice = deal_out(data, tmp_path / "data", 2, (file,))
    with pytest.raises(UserError, match=r"item_id '.*' is there twice"):
        export(settings, job, str(twice), str(tmp_path / "models"), shards=SHARDS)


def test_more_shards_than_items(
    job: str, data: str, settings: ServingConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"--shards 2000: .* has 388 items; ask for fewer"):
        export(settings, job, data, str(tmp_path / "models"), shards=2000)
    monkeypatch.setattr(deal_items, "shard_numbers", lambda ids, _: np.zeros(len(ids), np.int64))
    with pytest.raises(UserError, match=r"--shards 2: no item of the 388 falls into shard 1; ask for fewer"):
        export(settings, job, data, str(tmp_path / "models"), shards=SHARDS)


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["--shards", "2", "--runer=DirectRunner"], "unknown flag --runer"),
        (["--runner=DirectRunner"], "--runner=DirectRunner is a flag of Beam's, whose workers build --shards"),
        (["--shards", "2", "--template_location=gs://a/b"], "--template_location: a build waits for each"),
        (["--sharts", "2"], "unknown flag --sharts; did you mean '--shards'?"),
    ],
)
def test_flags(job: str, data: str, tmp_path: Path, flags: list[str], told: str) -> None:
    with pytest.raises(UserError) as error:
        main(["--job-dir", job, "--data", data, "--output", str(tmp_path / "models"), *flags])
    assert str(error.value).startswith(told)
