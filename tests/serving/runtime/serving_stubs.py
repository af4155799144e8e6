"""TensorFlow Serving's own generated stubs, as any of its clients uses them."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

from tests.serving.runtime.small_model import FILTER_LISTS, VECTOR_LISTS, WIDTHS

TIMEOUT = 30


class Stubs:
    """Both services on one channel."""

    def __init__(self, channel: grpc.Channel) -> None:
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        self.model = model_service_pb2_grpc.ModelServiceStub(channel)

    def predict(self, signature: str = "", version: int | None = None, **inputs: Any) -> dict[str, np.ndarray]:
        """The outputs as arrays."""
        response = self.prediction.Predict(request_of(signature, version, **inputs), timeout=TIMEOUT)
        return {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}

    def status(self, name: str = "retrieval") -> dict[int, str]:
        """State by version."""
        request = get_model_status_pb2.GetModelStatusRequest()
        request.model_spec.name = name
        found = self.model.GetModelStatus(request, timeout=TIMEOUT).model_version_status
        return {one.version: get_model_status_pb2.ModelVersionStatus.State.Name(one.state) for one in found}

    def metadata(self) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures."""
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = "retrieval"
        return self.prediction.GetModelMetadata(request, timeout=TIMEOUT)


def request_of(signature: str = "", version: int | None = None, **inputs: Any) -> predict_pb2.PredictRequest:
    """A PredictRequest to `retrieval`."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "retrieval", signature
    if version is not None:
        request.model_spec.version.value = version
    for name, value in inputs.items():
        request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return request


def retrieve_inputs(queries: list[str], k: int | list[int] = 5, **lists: list[list[str]]) -> dict[str, np.ndarray]:
    """All inputs of `retrieve`, lists padded."""
    rows = len(queries)
    inputs: dict[str, np.ndarray] = {"query": np.array(queries, object)}
    inputs["k"] = np.broadcast_to(np.array(k, np.int32), [rows]).copy()
    for name in (*VECTOR_LISTS, *FILTER_LISTS):
        padded = np.full([rows, WIDTHS[name]], "", object)
        for row, values in enumerate(lists.get(name, [])):
            padded[row, : len(values)] = values
        inputs[name] = padded
    inputs["price_range"] = np.full([rows, 2], np.nan, np.float32)
    return inputs
