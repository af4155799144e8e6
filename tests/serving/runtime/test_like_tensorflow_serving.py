"""What TensorFlow Serving 2.20 was seen to do where a server could do otherwise, a line each."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2

from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer, Settings
from serving.runtime.rest import RestServer, RestSettings
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of
from tests.serving.runtime.small_model import traced

Code = grpc.StatusCode
PREDICT = "/v1/models/retrieval:predict"


class Served(NamedTuple):
    """A server of versions 1 and 2, of which only 2 is loaded, and how to call it."""

    base: Path
    server: ModelServer
    stubs: Stubs
    http: Http

    def reload(self, name: str = "retrieval", base: Path | None = None, **labels: int) -> Any:
        request = model_management_pb2.ReloadConfigRequest()
        model = request.config.model_config_list.config.add(
            name=name, base_path=str(base or self.base), model_platform="tensorflow", version_labels=labels
        )
        assert model.name == name
        return self.stubs.model.HandleReloadConfigRequest(request, timeout=TIMEOUT)

    def status(self, label: str) -> list[tuple[int, str]]:
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name, request.model_spec.version_label = "retrieval", label
        found = self.stubs.model.GetModelStatus(request, timeout=TIMEOUT).model_version_status
        names = get_model_status_pb2.ModelVersionStatus.State.Name
        return [(one.version, names(one.state)) for one in found]

    def metric(self, name: str, **labels: str) -> float:
        return self.server.metrics.registry.get_sample_value(name, labels) or 0


@pytest.fixture(scope="module")
def served(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    base = tmp_path_factory.mktemp("like") / "retrieval"
    shutil.copytree(models / "1", base / "1")
    write_with_default(base / "2")
    (base.parent / "broken" / "1").mkdir(parents=True)
    server = ModelServer(Settings([ModelConfig("retrieval", base)], address="127.0.0.1:0", poll_seconds=0))
    server.bind()
    server.start()
    rest = RestServer(server, RestSettings(cors=True))
    rest.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Served(base, server, Stubs(channel), Http(rest.port))
    server.stop(5, rest.stop)


class Scaled(tf.Module):
    """Multiplies `x` by `by`."""

    def signatures(self) -> dict[str, Any]:
        specs = {"x": tf.TensorSpec([None], tf.float32, "x"), "by": tf.TensorSpec([None], tf.float32, "by")}
        return {"serving_default": traced(lambda **given: {"y": given["x"] * given["by"]}, specs)}


def write_with_default(path: Path) -> None:
    """A version whose input `by` is 3 where a request leaves it out."""
    model = Scaled()
    tf.saved_model.save(model, str(path), signatures=model.signatures())
    saved = saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())
    for graph in saved.meta_graphs:
        graph.signature_def["serving_default"].defaults["by"].CopyFrom(tf.make_tensor_proto([3.0]))
    (path / "saved_model.pb").write_bytes(saved.SerializeToString())


REFUSED: dict[str, tuple[Callable[[Served], Any], grpc.StatusCode, str]] = {
    "a reload without a name": (lambda one: one.reload(""), Code.INVALID_ARGUMENT, "without name"),
    "a reload from a folder that is not there": (
        lambda one: one.reload(base=one.base / "nowhere"),
        Code.INVALID_ARGUMENT,
        "Could not find base path",
    ),
    "a reload of a new model that does not load": (
        lambda one: one.reload("broken", one.base.parent / "broken"),
        Code.UNKNOWN,
        "Some models did not become available: {broken}",
    ),
    "a label for a version that is not loaded": (
        lambda one: one.reload(canary=1),
        Code.FAILED_PRECONDITION,
        "Request to assign label to version 1 of model retrieval, which is not currently available for inference",
    ),
    "a label that was not given": (
        lambda one: one.stubs.prediction.Predict(labelled("nobody"), timeout=TIMEOUT),
        Code.INVALID_ARGUMENT,
        "Unrecognized servable version label: nobody",
    ),
    "a needed input left out": (
        lambda one: one.stubs.predict(by=np.ones(1, np.float32)),
        Code.INVALID_ARGUMENT,
        "input tensor alias not found in signature: x",
    ),
}


def labelled(label: str) -> Any:
    request = request_of(x=np.ones(1, np.float32))
    request.model_spec.version_label = label
    return request


@pytest.mark.parametrize("call, code, words", REFUSED.values(), ids=REFUSED)
def test_refused(served: Served, call: Callable[[Served], Any], code: grpc.StatusCode, words: str) -> None:
    try:
        with pytest.raises(grpc.RpcError) as caught:
            call(served)
    finally:
        served.server.manager.configure([ModelConfig("retrieval", served.base)])
    assert (caught.value.code(), words in caught.value.details()) == (code, True), caught.value.details()


BODIES: dict[str, tuple[bytes, int, Any]] = {
    "NaN and Infinity": (b'{"inputs": {"x": [NaN, -Infinity], "by": [1, 1]}}', 200, {"outputs": [None, None]}),
    "columns that no input has": (b'{"inputs": {"x": [1], "by": [2], "z": 0}}', 200, {"outputs": [2.0]}),
    "keys that mean nothing": (b'{"inputs": {"x": [1], "by": [2]}, "z": 0}', 200, {"outputs": [2.0]}),
    "a byte order mark": (b'\xef\xbb\xbf{"inputs": {"x": [1], "by": [2]}}', 200, {"outputs": [2.0]}),
    "what stands behind a NUL": (b'{"inputs": {"x": [1], "by": [2]}}\0{', 200, {"outputs": [2.0]}),
    "a float32 in its shortest form": (b'{"inputs": {"x": [0.1], "by": [1]}}', 200, {"outputs": [0.1]}),
    "rows with keys that no input has": (b'{"instances": [{"x": 1, "by": 2, "z": 0}]}', 400, "unknown inputs: {z}"),
    "what stands behind the document": (b'{"inputs": {"x": [1], "by": [2]}} {}', 400, "JSON Parse error"),
    "half of a surrogate pair": (b'{"inputs": {"x": [NaN], "by": ["\\ud83d"]}}', 400, "JSON Parse error"),
    "an input left out": (b'{"inputs": {"x": [1]}}', 400, "missing inputs: {by}"),
}


@pytest.mark.parametrize("body, status, answer", BODIES.values(), ids=BODIES)
def test_rest_body(served: Served, body: bytes, status: int, answer: Any) -> None:
    found, said = served.http.post(PREDICT, body)
    assert found == status
    assert answer in said["error"] if isinstance(answer, str) else said == answer


def test_an_input_left_out_has_the_signatures_default(served: Served) -> None:
    assert served.stubs.predict(x=np.array([2], np.float32))["y"].tolist() == [6]
    assert served.stubs.predict(x=np.array([2], np.float32), by=np.array([5], np.float32))["y"].tolist() == [10]


def test_status_by_label_is_that_of_all_versions(served: Served) -> None:
    assert served.status("nobody") == [(2, "AVAILABLE")]


def test_a_new_label_may_name_what_is_not_loaded_where_that_is_allowed(served: Served) -> None:
    manager = served.server.manager
    try:
        manager._labels_of_any = True
        served.reload(canary=1, stable=2)
        with pytest.raises(grpc.RpcError, match="Request to assign label to version 1"):
            served.reload(stable=1)  # a label in use must not lose its version
    finally:
        manager._labels_of_any = False
        manager.configure([ModelConfig("retrieval", served.base)])


def test_latency_is_that_of_answers_and_loads_end_in_success_or_fail(served: Served) -> None:
    name, labels = ":tensorflow:serving:request_latency_count", {"model_name": "retrieval", "API": "Predict"}
    before = served.metric(name, **labels, entrypoint="GRPC")
    with pytest.raises(grpc.RpcError):
        served.stubs.predict("nothing", x=np.ones(1, np.float32))
    served.http.post(PREDICT, b"{")
    assert served.metric(name, **labels, entrypoint="GRPC") == before
    assert served.stubs.predict(x=np.ones(1, np.float32))
    assert served.metric(name, **labels, entrypoint="GRPC") == before + 1
    loads = ":tensorflow:cc:saved_model:load_attempt_count_total"
    assert served.metric(loads, model_path=str(served.base / "2"), status="success") >= 1
    with pytest.raises(grpc.RpcError):
        served.reload("broken", served.base.parent / "broken")
    served.server.manager.configure([ModelConfig("retrieval", served.base)])
    assert served.metric(loads, model_path=str(served.base.parent / "broken" / "1"), status="fail") >= 1


def test_pages_of_other_sites_may_call_where_that_is_allowed(served: Served) -> None:
    for method in ("OPTIONS", "GET"):
        headers = served.http.headers(method, "/v1/models/retrieval")
        assert headers["Access-Control-Allow-Origin"] == "*"
        assert headers["Access-Control-Allow-Methods"] == "POST, GET"
        assert headers["Access-Control-Allow-Headers"] == "Content-Type"
