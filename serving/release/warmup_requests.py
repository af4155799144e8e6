"""Requests that TensorFlow Serving plays to a version before it takes users."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

from serving.catalogue.data_records import Requests
from serving.inputs import FILTERS, VECTOR_LISTS
from serving.release.acceptance import retrieve_inputs

_FOLDER, _FILE = "assets.extra", "tf_serving_warmup_requests"
_STRANGE = "Ångström ﬁ 鞋 no such item".encode()  # neither ASCII nor composed as the analyser has it


def write_warmup(
    model: Path,
    signatures: Mapping[str, Any],
    requests: Requests,
    items: Mapping[str, np.ndarray],
    widths: dict[str, int],
    dim: int,
    k: int,
) -> int:
    """Writes real requests of a model's signatures, traced by name, beside it; returns how many."""
    (model / _FOLDER).mkdir(exist_ok=True)
    count = 0
    with tf.io.TFRecordWriter(str(model / _FOLDER / _FILE)) as writer:
        for signature, inputs in _calls(requests, items, widths, dim, k):
            if signature not in signatures:
                continue
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "retrieval"
            request.model_spec.signature_name = signature
            for name in signatures[signature].structured_input_signature[1]:
                request.inputs[name].CopyFrom(tf.make_tensor_proto(inputs[name]))
            log = prediction_log_pb2.PredictionLog(predict_log=prediction_log_pb2.PredictLog(request=request))
            writer.write(log.SerializeToString())
            count += 1
    return count


def _calls(
    requests: Requests, items: Mapping[str, np.ndarray], widths: dict[str, int], dim: int, k: int
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(signature, all it may take): as most requests are, then such that each branch of the graph is taken."""
    vectors = np.random.default_rng(17).normal(size=(2, dim)).astype(np.float32)
    plain, hard = retrieve_inputs(requests.slice(0, 1), widths, k), _hard(requests, widths, k)
    known = {name: values[:1] for name, values in items.items()}
    strange = {name: np.append(one, [_STRANGE] if one.dtype == object else one, axis=0) for name, one in known.items()}
    for inputs, of_items in ((plain, known), (hard, strange)):
        yield "serving_default", inputs
        yield "retrieve", inputs
        yield "embed_query", inputs
        yield "embed_item", of_items
        searched = {"embedding": vectors[: len(inputs["k"])], "k": inputs["k"]}
        yield "search", searched
        yield "search_filtered", searched | {name: inputs[name] for name in FILTERS}
        yield "search_channels", searched | {name: inputs[name] for name in ("query", *FILTERS)}
        yield "similar", inputs | {"item_id": of_items["item_id"][: len(inputs["k"])]}
    narrowed = {name: hard[name].copy() for name in FILTERS}
    narrowed["required_terms"][0, 0], narrowed["allowed_leaves"][0, 0] = items["title"][0], items["category_leaf"][0]
    narrowed["excluded_items"][-1, 0], narrowed["price_range"][-1, 0] = items["item_id"][0], 0  # nearly all are left
    yield "retrieve", hard | narrowed
    searched = {"embedding": vectors[: len(hard["k"])], "k": hard["k"], "query": hard["query"]} | narrowed
    yield "search_filtered", searched
    yield "search_channels", searched
    yield "similar", searched | {"item_id": items["item_id"][: len(hard["k"])]}


def _hard(requests: Requests, widths: dict[str, int], k: int) -> dict[str, np.ndarray]:
    """Inputs of `retrieve` for two requests: the second is in another script, of unknown items, for one answer."""
    inputs = {name: one.copy() for name, one in retrieve_inputs(requests.slice(0, 2), widths, k).items()}
    inputs["query"][-1], inputs["k"][-1] = _STRANGE, 1
    for name in VECTOR_LISTS:
        inputs[name][-1, 0] = _STRANGE
    return inputs
