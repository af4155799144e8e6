"""Codes and words of TensorFlow Serving for what a client gets wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import classification_pb2, get_model_metadata_pb2, inference_pb2, predict_pb2

from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of, retrieve_inputs
from tests.serving.runtime.small_model import DIM

Code = grpc.StatusCode


def changed(request: predict_pb2.PredictRequest, change: Callable[[Any], Any]) -> predict_pb2.PredictRequest:
    change(request)
    return request


def shaped(*sizes: int) -> predict_pb2.PredictRequest:
    request = request_of(query=["a"])
    del request.inputs["query"].tensor_shape.dim[:]
    for size in sizes:
        request.inputs["query"].tensor_shape.dim.add(size=size)
    return request


MISTAKES = [
    (predict_pb2.PredictRequest(), Code.INVALID_ARGUMENT, "Missing ModelSpec"),
    (changed(request_of(query=["a"]), lambda r: r.model_spec.ClearField("name")), Code.INVALID_ARGUMENT, "no name"),
    (
        changed(request_of(query=["a"]), lambda r: setattr(r.model_spec, "name", "x")),
        Code.NOT_FOUND,
        "Servable not found for request: Latest(x)",
    ),
    (request_of(version=7, query=["a"]), Code.NOT_FOUND, "Servable not found for request: Specific(retrieval, 7)"),
    (
        changed(request_of(query=["a"]), lambda r: setattr(r.model_spec, "version_label", "canary")),
        Code.INVALID_ARGUMENT,
        "Unrecognized servable version label: canary",
    ),
    (request_of("nothing", query=["a"]), Code.FAILED_PRECONDITION, 'Serving signature key "nothing" not found.'),
    (request_of(), Code.INVALID_ARGUMENT, "input size does not match signature: 0!=1"),
    (request_of(query=["a"], other=["b"]), Code.INVALID_ARGUMENT, "Sent extra: {other}. Missing but required: {}."),
    (request_of(other=["b"]), Code.INVALID_ARGUMENT, "input tensor alias not found in signature: other"),
    (request_of(query=[1.0]), Code.INVALID_ARGUMENT, "to be string but float is provided"),
    (request_of(query="a"), Code.INVALID_ARGUMENT, "input query has shape []"),
    (request_of(query=[["a"]]), Code.INVALID_ARGUMENT, "input query has shape [1, 1], the signature's is [?]"),
    (shaped(3, -1), Code.INVALID_ARGUMENT, "tensor parsing error: query"),
    (shaped(0), Code.INVALID_ARGUMENT, "tensor parsing error: query"),
    (shaped(1 << 40), Code.INVALID_ARGUMENT, "tensor parsing error: query"),
    (request_of(query=["a"] * 5000), Code.INVALID_ARGUMENT, "5000 rows in one request"),
    (
        request_of("search", embedding=np.ones([1, DIM + 1], np.float32), k=np.array([1], np.int32)),
        Code.INVALID_ARGUMENT,
        "input embedding has shape",
    ),
    (
        request_of("search", embedding=np.ones([2, DIM], np.float32), k=np.array([1], np.int32)),
        Code.INVALID_ARGUMENT,
        "differ in their first dimension",
    ),
    (request_of("retrieve", **retrieve_inputs(["a"], 100_000)), Code.INVALID_ARGUMENT, "k is 100000, at most 10000"),
    (request_of("retrieve", **retrieve_inputs(["a"], -1)), Code.INVALID_ARGUMENT, "must not be negative"),
    (
        changed(request_of(query=["a"]), lambda r: r.output_filter.append("x")),
        Code.INVALID_ARGUMENT,
        "output tensor alias not found in signature: x",
    ),
    (
        changed(request_of(query=["a"]), lambda r: r.output_filter.extend(["scores", "scores"])),
        Code.INVALID_ARGUMENT,
        "duplicate output tensor alias: scores",
    ),
]


@pytest.mark.parametrize("request_, code, words", MISTAKES, ids=[words for _, _, words in MISTAKES])
def test_mistake(stubs: Stubs, request_: predict_pb2.PredictRequest, code: grpc.StatusCode, words: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stubs.prediction.Predict(request_, timeout=TIMEOUT)
    assert caught.value.code() is code
    assert words in caught.value.details()


def test_status_of_an_unknown_model(stubs: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stubs.status("nothing")
    assert caught.value.code() is Code.NOT_FOUND
    assert caught.value.details() == "Could not find any versions of model nothing"


def test_metadata_of_an_unknown_field(stubs: Stubs) -> None:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["weights"])
    request.model_spec.name = "retrieval"
    with pytest.raises(grpc.RpcError) as caught:
        stubs.prediction.GetModelMetadata(request, timeout=TIMEOUT)
    assert caught.value.code() is Code.INVALID_ARGUMENT


def test_what_takes_examples_is_unimplemented_with_a_reason(stubs: Stubs) -> None:
    calls = [
        (stubs.prediction.Classify, classification_pb2.ClassificationRequest()),
        (stubs.prediction.MultiInference, inference_pb2.MultiInferenceRequest()),
    ]
    for method, request in calls:
        with pytest.raises(grpc.RpcError) as caught:
            method(request, timeout=TIMEOUT)
        assert caught.value.code() is Code.UNIMPLEMENTED
        assert "call Predict" in caught.value.details()


def test_bytes_that_are_no_message(server: Any) -> None:
    bad_utf8 = b"\x0a\x04\x0a\x02\xff\xfe"  # model_spec.name in what is not UTF-8
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        predict = channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        for data in (bad_utf8, b"\xff\xff\xff", b"\x0a\xff"):
            with pytest.raises(grpc.RpcError) as caught:
                predict(data, timeout=TIMEOUT)
            assert caught.value.code() is Code.INTERNAL


def test_a_message_too_large(stubs: Stubs) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        stubs.predict(query=["a" * (17 << 20)])
    assert caught.value.code() is Code.RESOURCE_EXHAUSTED
