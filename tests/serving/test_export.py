"""The command: mistakes in its flags and files, and one at a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from serving.batch.output_folder import locked
from serving.config import ServingConfig
from serving.export import export, main

Config = Callable[..., ServingConfig]


def test_one_export_at_a_time(job: str, data: str, config: Config, tmp_path: Path) -> None:
    with locked(str(tmp_path), "--output"), pytest.raises(UserError, match="another run is at work there"):
        export(config(), job, data, str(tmp_path))


def mistake(*flags: str) -> str:
    with pytest.raises(UserError) as raised:
        main(list(flags))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_mistakes(job: str, data: str, tmp_path: Path) -> None:
    out = str(tmp_path / "models")
    assert "name --job-dir" in mistake("--data", data, "--output", out)
    assert "no _SUCCESS" in mistake("--job-dir", job, "--data", str(tmp_path), "--output", out)
    assert "no towers/query in it" in mistake("--job-dir", str(tmp_path), "--data", data, "--output", out)
    assert "no version in it to change" in mistake("--data", data, "--output", out, "--fresh", os.devnull)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"item_id": "x", "title": "y"}\n{"title": "no id"}\n')
    said = mistake("--data", data, "--output", out, "--fresh", str(bad))
    assert said.endswith("bad.jsonl: line 2 is no catalogue record: missing item_id")
    assert "target_recall" in mistake("--job-dir", job, "--data", data, "--output", out, "--target-recall", "1.5")
    shards = mistake("--job-dir", job, "--data", data, "--output", out, "--shards", "0")
    assert shards.startswith("--shards takes a number from 1")
    assert "local or mounted" in mistake("--job-dir", job, "--data", data, "--output", "gs://bucket/models")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in mistake("--job-dir", job, "--data", data, "--output", f"{tmp_path}/file/models")


def test_towers_of_another_format(data: str, tmp_path: Path) -> None:
    module = tf.Module()
    module.embed = tf.function(
        lambda query: {"embedding": tf.zeros([1, 4])}, [tf.TensorSpec([None], tf.string, "query")]
    )
    for name in ("query", "item"):
        tf.saved_model.save(module, str(tmp_path / "towers" / name), signatures=module.embed)
    said = mistake("--job-dir", str(tmp_path), "--data", data, "--output", str(tmp_path / "models"))
    assert "towers/query is of another format" in said and f"--config {tmp_path}/config.yaml" in said
