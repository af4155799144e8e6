"""What a server writes down of its requests: a share, without pasts unless asked, and whole files alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from preprocessing.command.console import UserError
from serving.client import Retriever, User
from serving.runtime import request_log
from serving.runtime.grpc_server import ModelServer
from serving.runtime.request_log import RequestLog, RequestLogSettings
from serving.runtime.server_flags import arguments
from serving.runtime.settings import settings_of
from tests.serving.runtime.small_model import VECTOR_LISTS

Serve = Callable[..., ModelServer]
QUERIES = [f"query {number}" for number in range(20)]


def _logged(folder: Path) -> list[Any]:
    """The requests of the whole files."""
    paths = sorted(str(path) for path in folder.glob("requests-*.tfrecord"))
    return [PredictionLog.FromString(one).predict_log.request for path in paths for one in _records(path)]


def _records(path: str) -> list[bytes]:
    return list(tf.data.TFRecordDataset(path).as_numpy_iterator())


def _ask(server: ModelServer) -> list[str]:
    user = User(realtime_items=["a", "b"])
    with Retriever(f"127.0.0.1:{server.port}", timeout=60) as retriever:
        return [retriever.retrieve(query, user, k=2).hits[0].item_id for query in QUERIES]


@pytest.mark.parametrize("pasts", [False, True])
def test_requests_are_written_down(pasts: bool, models: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve(models, request_log=RequestLogSettings(str(tmp_path / "log"), 1.0, pasts))
    _ask(server)
    assert [path.suffix for path in (tmp_path / "log").iterdir()] == [".part"]  # warm-up is no request of anybody's
    server.stop(5)
    found = _logged(tmp_path / "log")
    assert [tf.make_ndarray(one.inputs["query"]).tolist() for one in found] == [[one.encode()] for one in QUERIES]
    assert {(one.model_spec.name, one.model_spec.signature_name) for one in found} == {("retrieval", "retrieve")}
    assert {one.model_spec.version.value for one in found} == {1}
    if pasts:
        assert all(b"b" in tf.make_ndarray(one.inputs["realtime_items"]) for one in found)
    else:
        assert not any(set(one.inputs) & set(VECTOR_LISTS) for one in found)
    assert all("k" in one.inputs for one in found)


class _One:
    name, version = "retrieval", 3


class _Search:
    name, inputs = "search", {"query": None}


def test_a_share(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_log, "_A_FILE", 50)
    log = RequestLog(RequestLogSettings(str(tmp_path), 0.2))
    for number in range(2_000):
        log.note(_One(), _Search(), [np.array([b"%d" % number], object)])  # type: ignore[arg-type]
    log.close()
    found = _logged(tmp_path)
    assert 300 < len(found) < 500 and not list(tmp_path.glob("*.part"))
    assert len(list(tmp_path.iterdir())) == -(-len(found) // 50)
    log.close()


def test_a_folder_that_goes_away_costs_no_answer(models: Path, serve: Serve, tmp_path: Path) -> None:
    server = serve(models, request_log=RequestLogSettings(str(tmp_path / "log"), 1.0))
    (tmp_path / "log").rmdir()
    assert len(_ask(server)) == len(QUERIES)


def test_mistakes(models: Path, tmp_path: Path) -> None:
    flags = ["--model-base-path", str(models), "--request-log", str(tmp_path / "log")]
    with pytest.raises(UserError, match=r"^--request_log_share 0\.0: above 0, at most 1$"):
        settings_of(arguments([*flags, "--request-log-share", "0"]))
    settings = settings_of(arguments([*flags, "--request-log-pasts", "true"]))
    assert settings.request_log == RequestLogSettings(str(tmp_path / "log"), 0.01, True)
    (tmp_path / "log").touch()
    with pytest.raises(UserError, match=f"^--request_log {tmp_path}/log cannot be written: File exists$"):
        ModelServer(settings)
