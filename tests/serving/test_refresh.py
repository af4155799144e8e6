"""The daily refresh: a new version where something changed, and nothing where nothing did."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from serving.batch.output_folder import locked
from serving.config import ServingConfig
from serving.export import export
from serving.refresh import main, refresh
from serving.release.versions import REJECTED
from tests.serving.conftest import Client
from tests.serving.market import shelf

Config = Callable[..., ServingConfig]


@pytest.fixture
def copied(data: str, tmp_path: Path) -> Path:
    """A data folder that a test may change."""
    return Path(shutil.copytree(data, tmp_path / "data"))


def retitle(data: Path, title: str) -> str:
    """Gives the first item of the catalogue another title; returns its id."""
    path = next(path for path in sorted(data.glob("catalog-*")) if path.stat().st_size > 100)
    records = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
    example = tf.train.Example.FromString(records[0])
    example.features.feature["title"].bytes_list.value[0] = title.encode()
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in [example.SerializeToString(), *records[1:]]:
            writer.write(record)
    return example.features.feature["item_id"].bytes_list.value[0].decode()


def snapshot(*folders: Path) -> dict[str, int]:
    """Every file, and when it was written."""
    files = (path for folder in folders for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path): path.stat().st_mtime_ns for path in files}


def test_refresh(
    copied: Path,
    job: str,
    config: Config,
    tmp_path: Path,
    opened: Callable[[str], Client],
    capsys: pytest.CaptureFixture,
) -> None:
    output, vectors = tmp_path / "models", tmp_path / "models-vectors"
    exact = config("index=brute_force")
    assert refresh(exact, job, str(copied), str(output)) == 0
    manifest = json.loads((output / "manifest-1.json").read_text())
    assert manifest["precomputed_vectors"] == manifest["items"] == len(shelf(str(copied)).ids)
    request = {"query": "shoes", "k": 20}
    first, straight = Client(output, 1).retrieve(request), opened("brute_force").retrieve(request)
    assert first["item_ids"].tolist() == straight["item_ids"].tolist()
    assert first["scores"] == pytest.approx(straight["scores"], abs=1e-5)

    before = snapshot(output, vectors)
    capsys.readouterr()
    assert refresh(exact, job, str(copied), str(output)) == 0
    assert "nothing changed" in capsys.readouterr().out and snapshot(output, vectors) == before

    changed = retitle(copied, "a title that nobody had")
    assert refresh(exact, job, str(copied), str(output)) == 0
    assert f"1 items embedded, {manifest['items'] - 1} carried over" in capsys.readouterr().out
    found = Client(output, 2).retrieve({"query": "x", "required_terms": ["nobody"], "k": 1})
    assert found["item_ids"][0].tolist() == [changed.encode()]

    turned_down = output / "rejected-3"
    turned_down.mkdir()
    narrow = config("index=brute_force", "default_k=7")
    rejected = json.loads((output / "manifest-2.json").read_text()) | {"config": narrow.model_dump(mode="json")}
    (turned_down / "manifest.json").write_text(json.dumps(rejected))
    assert refresh(narrow, job, str(copied), str(output)) == REJECTED
    assert "--force" in capsys.readouterr().err and not (output / "4").exists()


def test_refresh_of_shards(
    data: str, job: str, config: Config, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output, exact = tmp_path / "models", config("index=brute_force")
    for said in ("items embedded", "nothing changed"):
        assert refresh(exact, job, data, str(output), shards=2) == 0
        assert said in capsys.readouterr().out
        assert json.loads((output / "shards.json").read_text())["version"] == 1
    manifest = json.loads((output / "query" / "manifest-1.json").read_text())
    assert (manifest["shards"], manifest["items"]) == (2, len(shelf(data).ids))

    shutil.copytree(output / "query" / "1", output / "query" / "2")  # as a run leaves it that was killed before the end
    (output / "query" / "manifest-2.json").write_text(json.dumps(manifest | {"version": 2}))
    (output / "query" / "manifest-1.json").write_text(json.dumps(manifest | {"data_hash": "yesterday's"}))
    assert refresh(exact, job, data, str(output), shards=2) == 0
    assert json.loads((output / "shards.json").read_text())["version"] == 3


def test_one_at_a_time(data: str, job: str, config: Config, tmp_path: Path) -> None:
    with locked(str(tmp_path), "--output"), pytest.raises(UserError, match="another run is at work"):
        refresh(config("index=brute_force"), job, data, str(tmp_path))


def test_vectors_of_other_towers(data: str, job: str, config: Config, tmp_path: Path) -> None:
    (tmp_path / "batch.json").write_text(
        json.dumps({"mode": "embed", "identity": {"towers_hash": "another"}, "files": []})
    )
    with pytest.raises(UserError, match="of other towers"):
        export(config("index=brute_force"), job, data, str(tmp_path / "models"), vectors=str(tmp_path))
    with pytest.raises(UserError, match="no batch"):
        export(config("index=brute_force"), job, data, str(tmp_path / "models"), vectors=data)


def test_mistakes(data: str, tmp_path: Path) -> None:
    output = ["--output", str(tmp_path / "models")]
    with pytest.raises(UserError, match="no towers/item"):
        main(["--job-dir", str(tmp_path), "--data", data, *output])
    with pytest.raises(UserError, match="no _SUCCESS"):
        main(["--job-dir", str(tmp_path), "--data", str(tmp_path), *output])
