"""Requests that TensorFlow Serving plays to a version before it takes users."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.catalogue.data_records import Requests
from serving.inputs import FILTERS, ITEM_INPUTS, VECTOR_LISTS
from serving.release.acceptance import retrieve_inputs

_FOLDER, _FILE = "assets.extra", "tf_serving_warmup_requests"
_BATCHES = (1, 2, 8)


def write_warmup(
    model: Path,
    signatures: Collection[str],
    requests: Requests,
    items: Mapping[str, np.ndarray],
    widths: dict[str, int],
    dim: int,
    k: int,
) -> int:
    """Writes real requests of a model's signatures beside it; returns how many."""
    (model / _FOLDER).mkdir(exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(model / _FOLDER / _FILE)) as writer:
        for signature, inputs in _calls(requests, items, widths, dim, k):
            if signature not in signatures:
                continue
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "retrieval"
            request.model_spec.signature_name = signature
            for name, value in inputs.items():
                request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
            count += 1
    return count


def _calls(
    requests: Requests, items: Mapping[str, np.ndarray], widths: dict[str, int], dim: int, k: int
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(signature, inputs) in batches of several sizes; one request with conditions, which look harder."""
    random = np.random.default_rng(17)
    for size in _BATCHES:
        some = requests.slice(0, size)
        inputs = retrieve_inputs(some, widths, k)
        yield "serving_default", {"query": inputs["query"]}
        yield "retrieve", inputs
        yield "embed_query", {name: inputs[name] for name in ("query", *VECTOR_LISTS)}
        yield "embed_item", {name: items[name][:size] for name in ITEM_INPUTS}
        vector = {"embedding": random.normal(size=(len(some), dim)).astype(np.float32), "k": inputs["k"]}
        yield "search", vector
        yield "search_filtered", vector | {name: inputs[name] for name in FILTERS}
    narrow = retrieve_inputs(requests.slice(0, 1), widths, k)
    narrow["required_terms"][0, 0] = items["title"][0]
    narrow["allowed_leaves"][0, 0] = items["category_leaf"][0]
    yield "retrieve", narrow
