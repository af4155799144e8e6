"""Broken towers, a broken catalogue, a full disk: one line, exit status 2, and no version, whole or half."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

import serving.release.build_model
from preprocessing.command.console import run_command
from serving.export import main


@pytest.fixture
def told(config_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """`told(job, data)`: the one line of an export that fails and leaves nothing."""

    def run(job: str, data: str) -> str:
        flags = ["--config", config_file, "--index", "brute_force", "--job-dir", job, "--data", data]
        output = tmp_path / "models"
        with pytest.raises(SystemExit) as ended:
            run_command(lambda _: main([*flags, "--output", str(output)]))
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.startswith("error: ") and said.count("\n") == 1, said
        assert not output.exists() or [one.name for one in output.iterdir()] == [".lock"]
        return said

    return run


def towers(folder: Path, query_dim: int, item_dim: int, value: float) -> str:
    """A job whose towers give every query and every item the same vector."""
    for tower, column, dim in (("item", "title_word", item_dim), ("query", "query_word", query_dim)):

        def embed(column: str = column, dim: int = dim, **ids: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": tf.fill([tf.shape(ids[column])[0], dim], value)}

        module = tf.Module()
        module.embed = tf.function(embed, autograph=False)
        signature = module.embed.get_concrete_function(**{column: tf.TensorSpec([None, None], tf.int32, column)})
        signatures = {"embed": signature, **({"embed_query_alone": signature} if tower == "query" else {})}
        tf.saved_model.save(module, str(folder / "towers" / tower), signatures=signatures)
    (folder / "towers" / "vocab").mkdir()
    (folder / "towers" / "vocab" / "word.txt").write_text("shoes\n")
    encoding = {"vocabularies": {"word": {"hash_buckets": 2, "ids": 4}}, "text": {"max_chars": 64, "max_words": 8}}
    (folder / "towers" / "encoding.json").write_text(json.dumps(encoding))
    return str(folder)


def test_towers_without_their_encoding(told: Callable[..., str], data: str, job: str, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(job, tmp_path / "job"))
    (copied / "towers" / "encoding.json").unlink()
    assert "towers/encoding.json is of another format or not there" in told(str(copied), data)


def test_towers_of_two_jobs(told: Callable[..., str], data: str, tmp_path: Path) -> None:
    said = told(towers(tmp_path / "job", 4, 8, 1.0), data)
    assert "towers/query gives vectors of width 4, towers/item of width 8; they are not of one job" in said


def test_vectors_that_are_not_finite(told: Callable[..., str], data: str, tmp_path: Path) -> None:
    said = told(towers(tmp_path / "job", 4, 4, float("nan")), data)
    assert "the item tower gives item '" in said and "a vector that is not finite" in said


def test_an_item_that_is_there_twice(told: Callable[..., str], data: str, job: str, tmp_path: Path) -> None:
    copied = Path(shutil.copytree(data, tmp_path / "data"))
    path = next(path for path in sorted(copied.glob("catalog-*")) if path.stat().st_size > 100)
    records = list(tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator())
    with tf.io.TFRecordWriter(str(path), "GZIP") as writer:
        for record in [*records, records[0]]:
            writer.write(record)
    twice = tf.train.Example.FromString(records[0]).features.feature["item_id"].bytes_list.value[0].decode()
    assert f"catalog-*.tfrecord.gz: item_id '{twice}' is there twice" in told(job, str(copied))


def test_a_disk_that_fills_up_under_the_vectors(
    told: Callable[..., str], data: str, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = serving.release.build_model.embed_catalogue
    monkeypatch.setattr(
        serving.release.build_model,
        "embed_catalogue",
        lambda data, spec, tower, path, *others: embed(data, spec, tower, "/dev/full", *others),
    )
    assert "no space left on its disk" in told(job, data)


def test_a_disk_that_fills_up_under_the_model(
    told: Callable[..., str], data: str, job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(*_: object) -> None:
        with tf.io.TFRecordWriter("/dev/full") as writer:
            writer.write(b"x" * 10_000_000)

    monkeypatch.setattr(serving.release.build_model, "save", write)
    assert "no space left on its disk" in told(job, data)
