"""TensorFlow Serving's REST surface, asked with plain HTTP."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from serving.runtime.grpc_server import ModelServer
from serving.runtime.prometheus import DEFAULT_PATH
from serving.runtime.rest import RestServer, RestSettings
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import Stubs, retrieve_inputs
from tests.serving.runtime.small_model import DIM


@pytest.fixture(scope="module")
def http(server: ModelServer) -> Iterator[Http]:
    rest = RestServer(server, RestSettings(max_body_bytes=1 << 20, metrics_path=DEFAULT_PATH))
    rest.start()
    yield Http(rest.port)
    rest.stop()


# The names of TensorFlow Serving 2.20, and the two gauges of this server.
TYPES = {
    ":tensorflow:serving:request_count": "counter",
    ":tensorflow:serving:request_latency": "histogram",
    ":tensorflow:serving:runtime_latency": "histogram",
    ":tensorflow:serving:batching_session:queuing_latency": "histogram",
    ":tensorflow:serving:batching_session:processed_batch_size": "histogram",
    ":tensorflow:serving:request_example_counts": "histogram",
    ":tensorflow:serving:model_warmup_latency": "histogram",
    ":tensorflow:cc:saved_model:load_attempt_count": "counter",
    ":tensorflow:cc:saved_model:load_latency": "counter",
    ":tensorflow:serving:requests_in_flight": "gauge",
    ":tensorflow:serving:model_version_available": "gauge",
    "process_start_time_seconds": "gauge",
}
PREDICT = "/v1/models/retrieval:predict"


def test_rows(http: Http, stubs: Stubs) -> None:
    status, answer = http.post(PREDICT, {"instances": ["red shoes", "鞋"]})
    wanted = stubs.predict(query=["red shoes", "鞋"])
    assert status == 200
    assert [row["item_ids"] for row in answer["predictions"]] == [
        [one.decode() for one in row] for row in wanted["item_ids"]
    ]
    np.testing.assert_allclose([row["scores"] for row in answer["predictions"]], wanted["scores"], rtol=1e-5)


def test_columns_rows_of_objects_and_base64_say_the_same(http: Http) -> None:
    columns = http.post(PREDICT, {"inputs": {"query": ["red shoes"]}})[1]["outputs"]
    bare = http.post(PREDICT, {"inputs": ["red shoes"]})[1]["outputs"]
    rows = http.post(PREDICT, {"instances": [{"query": "red shoes"}]})[1]["predictions"]
    b64 = http.post(PREDICT, {"instances": [{"b64": base64.b64encode(b"red shoes").decode()}]})[1]["predictions"]
    assert columns == bare == {name: [value] for name, value in rows[0].items()}
    assert rows == b64


def test_versions_and_signatures(http: Http, stubs: Stubs) -> None:
    inputs = {name: value.tolist() for name, value in retrieve_inputs(["red"], 3).items()}
    body = {"signature_name": "retrieve", "inputs": inputs}
    status, answer = http.post("/v1/models/retrieval/versions/1:predict", body)
    wanted = stubs.predict("retrieve", **retrieve_inputs(["red"], 3))["item_ids"]
    assert (status, answer["outputs"]["item_ids"]) == (200, [[one.decode() for one in wanted[0]]])
    vector = {
        "signature_name": "search",
        "instances": [{"embedding": [1] * DIM, "k": 2}, {"embedding": [0.5] * DIM, "k": 1}],
    }
    status, answer = http.post(PREDICT, vector)
    assert (status, len(answer["predictions"])) == (200, 2)
    status, answer = http.post(
        PREDICT,
        {
            "signature_name": "embed_item",
            "instances": [dict.fromkeys(("item_id", "title", "brand", "shop", "category_leaf", "category_top"), "x")],
        },
    )
    assert (status, np.shape(answer["predictions"])) == (200, (1, DIM))


def test_status_and_metadata(http: Http) -> None:
    status = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    for path in ("/v1/models/retrieval", "/v1/models/retrieval/versions/1"):
        assert http.get(path) == (200, {"model_version_status": [status]})
    code, answer = http.get("/v1/models/retrieval/metadata")
    assert (code, answer["model_spec"]["version"]) == (200, "1")
    inputs = answer["metadata"]["signature_def"]["signature_def"]["serving_default"]["inputs"]
    assert inputs["query"]["dtype"] == "DT_STRING"


@pytest.mark.parametrize(
    "path, body, code, words",
    [
        (PREDICT, b"{", 400, "JSON Parse error"),
        (PREDICT, b'{"instances": ["\xff"]}', 400, "JSON Parse error"),
        (PREDICT, [], 400, "must be an object"),
        (PREDICT, {}, 400, "one of 'instances'"),
        (PREDICT, {"instances": []}, 400, "at least one"),
        (PREDICT, {"instances": [1]}, 400, "is not of expected type: string"),
        (PREDICT, {"instances": [["a"], ["b", "c"]]}, 400, "ragged"),
        (PREDICT, {"instances": [{"b64": "!"}]}, 400, "base64"),
        (PREDICT, {"instances": [{"b64": "é"}]}, 400, "base64"),
        (PREDICT, {"instances": [{"words": "a"}]}, 400, "missing inputs: {query}, unknown inputs: {words}"),
        (PREDICT, {"instances": ["a"], "signature_name": "nothing"}, 400, "Serving signature key"),
        (PREDICT, {"instances": ["a"], "signature_name": "retrieve"}, 400, "has 13 inputs"),
        (PREDICT, {"signature_name": "search", "instances": [{"embedding": [1] * DIM, "k": 1.5}]}, 400, "type: int32"),
        (PREDICT, {"signature_name": "search", "instances": [{"embedding": [1] * DIM, "k": 1 << 40}]}, 400, "int32"),
        ("/v1/models/other:predict", {"instances": ["a"]}, 404, "Servable not found for request: Latest(other)"),
        ("/v1/models/retrieval/labels/x:predict", {"instances": ["a"]}, 400, "Unrecognized servable version label"),
        ("/v1/models/retrieval:classify", {"examples": []}, 501, "call :predict"),
        ("/v1/models/retrieval:guess", {"instances": ["a"]}, 400, "Malformed request: POST"),
        (PREDICT, {"instances": ["a" * (1 << 20)]}, 413, "Entity Too Large"),
    ],
)
def test_mistakes(http: Http, path: str, body: Any, code: int, words: str) -> None:
    status, answer = http.post(path, body)
    assert (status, words in answer["error"]) == (code, True), answer


def test_numbers_that_are_not_finite_are_null_and_float32_is_short(http: Http, stubs: Stubs) -> None:
    inputs = {name: value.tolist() for name, value in retrieve_inputs(["red"], 3).items()}
    inputs["required_terms"] = [["item7", ""]]
    for form in ({"inputs": inputs}, {"instances": [{name: value[0] for name, value in inputs.items()}]}):
        status, text = http.raw(PREDICT, {"signature_name": "retrieve", **form})
        answer = json.loads(text, parse_constant=pytest.fail)
        found = answer["outputs"] if "outputs" in answer else {k: [v] for k, v in answer["predictions"][0].items()}
        assert (status, found["item_ids"]) == (200, [["item7", "", ""]])
        assert found["scores"][0][1:] == [None, None]
    scores = stubs.predict(query=["red"])["scores"]
    text = http.raw(PREDICT, {"inputs": ["red"]})[1]
    assert all(str(one) in text for one in scores[0])


def test_nan_is_taken(http: Http) -> None:
    body = b'{"signature_name": "search", "instances": [{"embedding": [NaN%s], "k": 1}]}' % (b", -Infinity" * (DIM - 1))
    assert http.post(PREDICT, body)[0] == 200


def test_paths_that_are_not_there(http: Http) -> None:
    assert http.get("/v1/models/other")[0] == 404
    assert http.get("/nothing")[0] == 404
    assert http.get(PREDICT)[0] == 400


def test_metrics(http: Http, stubs: Stubs) -> None:
    stubs.predict(query=["a"])
    http.post(PREDICT, {"instances": ["a"]})
    text = http.text(DEFAULT_PATH)
    types = dict(line.split()[2:4] for line in text.splitlines() if line.startswith("# TYPE"))
    assert types.items() >= TYPES.items()
    counted = re.search(r'^:tensorflow:serving:request_count{model_name="retrieval",status="OK"} (.+)', text, re.M)
    assert counted and float(counted[1]) >= 2
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]

    def value(name: str, **labels: str) -> float:
        (found,) = [one.value for one in samples if one.name == name and one.labels == labels]
        return found

    for entrypoint in ("GRPC", "REST"):
        labels = {"model_name": "retrieval", "API": "Predict", "entrypoint": entrypoint}
        count = value(":tensorflow:serving:request_latency_count", **labels)
        assert count >= 1
        assert value(":tensorflow:serving:request_latency_bucket", **labels, le="+Inf") == count
    assert value(":tensorflow:serving:requests_in_flight") == 0
    assert value(":tensorflow:serving:model_version_available", model_name="retrieval", version="1") == 1
