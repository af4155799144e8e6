"""Requests of earlier days in each batch, whose ids must mean the same."""

from __future__ import annotations

import itertools
import json
import shutil
from pathlib import Path

import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.config import DataConfig, LossConfig, TrainerConfig
from trainer.config_days import OlderConfig
from trainer.data.older_days import check_older
from trainer.data.training_data import TrainingData


def _reader(data: str, *older: str) -> TrainingData:
    settings = DataConfig(batch=64, shuffle=100, readers=2, older=OlderConfig(folders=older, share=0.25))
    config = TrainerConfig(seed=5, data=settings, loss=LossConfig(catalog_negatives=8))
    return TrainingData(data, config, {"request_id", "query_word", "clicked_item"}, {"log_prob"})


def _ids(reader: TrainingData, step: int, count: int) -> list[list[bytes]]:
    return [batch["requests"]["request_id"].numpy().tolist() for batch in itertools.islice(reader.batches(step), count)]


@pytest.fixture
def older(data: str, tmp_path: Path) -> str:
    """A folder whose requests are called otherwise."""
    folder = tmp_path / "older"
    shutil.copytree(data, folder)
    for path in folder.glob("train-*"):
        records = [tf.train.Example.FromString(one.numpy()) for one in tf.data.TFRecordDataset(str(path), "GZIP")]
        with tf.io.TFRecordWriter(str(path), "GZIP") as file:
            for one in records:
                one.features.feature["request_id"].bytes_list.value[0] += b" before"
                file.write(one.SerializeToString())
    return str(folder)


def test_a_share_of_each_batch(data: str, older: str) -> None:
    steps = _ids(_reader(data, older), 0, 6)
    assert [sum(one.endswith(b" before") for one in step) for step in steps] == [16] * 6
    assert _ids(_reader(data, older), 4, 2) == steps[4:], "it resumes at any step"
    assert [one.encode() for one in _reader(data, older).request_ids(3)] == steps[3]


def test_every_older_request_comes_once_an_epoch(data: str, older: str) -> None:
    count = json.loads(Path(data, "spec.json").read_text())["examples"]["train"]
    steps = _ids(_reader(data, older), 0, -(-count // 16))
    old = [one for step in steps for one in step if one.endswith(b" before")]
    assert len(set(old[:count])) == count


def test_a_vocabulary_that_went_on(data: str, older: str) -> None:
    check_older([older], data)
    with open(f"{older}/vocab/word.txt") as file:
        words = file.readlines()
    Path(older, "vocab/word.txt").write_text("".join(words[:-3]))
    check_older([older], data)
    Path(older, "vocab/word.txt").write_text("".join([words[1], words[0], *words[2:]]))
    with pytest.raises(UserError, match=rf"^--older {older}: its ids mean other .* vocab/word\.txt differs at line 1;"):
        check_older([older], data)


def test_other_records(data: str, older: str) -> None:
    spec = json.loads(Path(older, "spec.json").read_text())
    Path(older, "spec.json").write_text(json.dumps(spec | {"text": spec["text"] | {"max_words": 3}}))
    with pytest.raises(UserError, match=rf"^--older {older}: its text in spec\.json are not those of --data {data}$"):
        check_older([older], data)


def test_a_share_that_is_nothing() -> None:
    with pytest.raises(ValueError, match=r"older\.share \(0\.01\) is 0 of a batch of 16"):
        DataConfig(batch=16, older=OlderConfig(folders=("a",), share=0.01))
