"""What a server was asked beside what the records say: the same requests pass, others are named."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from preprocessing.command.console import UserError
from preprocessing.compare import PAST_A_LIMIT, main
from preprocessing.data.features import HORIZONS
from tests.e2e.market import examples

Record = dict[str, Any]
Ask = Callable[[Record], dict[str, list[bytes]]]
WIDTH = 30


def _as_recorded(record: Record) -> dict[str, list[bytes]]:
    """A client's request: padded lists of as many queries and items as the record has."""
    lists = {"history_queries": len(record.get("history_word_length", []))}
    lists |= {f"{horizon}_items": len(record.get(f"{horizon}_item", [])) for horizon in HORIZONS}
    padded = {name: [b"x"] * count + [b""] * (WIDTH - count) for name, count in lists.items()}
    return {"query": record["query"], **padded}


def _write(path: Path, requests: list[dict[str, list[bytes]]]) -> str:
    with tf.io.TFRecordWriter(str(path)) as writer:
        for request in requests:
            log = PredictionLog()
            for name, content in request.items():
                rows = np.array(content if name == "query" else [content], object)
                log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(rows))
            writer.write(log.SerializeToString())
    return str(path)


@pytest.fixture
def told(market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Callable[[Ask], tuple[int, list[str]]]:
    """Status and lines, where a server was asked so for each of the newest requests."""

    def compared(ask: Ask) -> tuple[int, list[str]]:
        asked = [ask(one) for one in examples(market / "data", "eval")]
        served = _write(tmp_path / "requests", asked)
        data = str(market / "data")
        status = main([data, data, "--served", served])
        said, error = capsys.readouterr()
        assert f"asked {len(asked):,} and {len(asked):,} records" in " ".join(said.split())
        return status, [line.split(": ")[1] for line in error.splitlines()]

    return compared


def test_the_same_requests_are_no_skew(told: Callable[[Ask], tuple[int, list[str]]]) -> None:
    assert told(_as_recorded) == (0, [])
    words = {"asked word", "asked word unknown", "asked query_word"}
    assert not words & set(told(lambda record: {"query": [record["query"][0].upper()]})[1])  # they are analysed alike


def test_pasts_that_a_client_leaves_out_are_named(told: Callable[[Ask], tuple[int, list[str]]]) -> None:
    status, lines = told(lambda record: _as_recorded(record) | {"realtime_items": [b""] * WIDTH})
    assert status == PAST_A_LIMIT and set(lines) == {"asked realtime_item"}
    assert told(lambda record: {"query": record["query"]}) == (0, [])  # a version that reads no pasts


def test_other_queries_are_named(told: Callable[[Ask], tuple[int, list[str]]]) -> None:
    chance = random.Random(3)
    status, lines = told(lambda record: {"query": [b"zzyzx qwrtp"] if chance.random() < 0.6 else record["query"]})
    assert status == PAST_A_LIMIT and {"asked word", "asked word unknown"} <= set(lines)


def test_requests_in_a_batch_and_those_without_a_query(market: Path, tmp_path: Path) -> None:
    from preprocessing.between_days.compare_folders import open_folder
    from preprocessing.between_days.sample_records import read_words
    from preprocessing.between_days.served_requests import served_sample

    batch = {"query": [b"red sofa", b"", b"lamp"]}
    one = {"query": [b"x"], "short_items": [b"a", b"", b"b"]}
    path = _write(tmp_path / "a.log", [batch, {"embedding": [b"1"]}, one])
    folder = open_folder(str(market / "data"))
    words = read_words(folder.path, folder.spec)
    found = served_sample(path, folder.path, folder.spec, words, 10, seed=1)
    assert (found.records, found.empty["query"]) == (4, 0.25)
    assert found.lengths["short_item"].tolist() == [0, 0, 0, 2] and "long_click_item" not in found.lengths
    assert found.lengths["query_word"].tolist() == [2, 0, 1, 1]
    assert served_sample(path, folder.path, folder.spec, words, 1, seed=1).records == 3


def test_mistakes(market: Path, tmp_path: Path) -> None:
    data = str(market / "data")
    with pytest.raises(UserError, match=f"^--served: no file matches {tmp_path}/none$"):
        main([data, data, "--served", f"{tmp_path}/none"])
    (tmp_path / "text").write_text("a line\n" * 9)
    with pytest.raises(UserError, match=rf"^--served {tmp_path}/text: no TFRecord file of PredictionLog records"):
        main([data, data, "--served", f"{tmp_path}/text"])
    with tf.io.TFRecordWriter(f"{tmp_path}/other") as writer:
        writer.write(b"\xff")
    with pytest.raises(UserError, match=rf"^--served {tmp_path}/other: no TFRecord file of PredictionLog records"):
        main([data, data, "--served", f"{tmp_path}/other"])
    with pytest.raises(UserError, match="no request in it has a 'query'"):
        main([data, data, "--served", _write(tmp_path / "b", [{"embedding": [b"1"]}])])
