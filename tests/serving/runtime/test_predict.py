"""What the server answers is what TensorFlow answers, whatever the way to write a tensor."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
import tensorflow as tf

from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of, retrieve_inputs
from tests.serving.runtime.small_model import DEFAULT_K, DIM, FILTER_LISTS, WIDTHS


def expected(loaded: Any, signature: str, **inputs: Any) -> dict[str, np.ndarray]:
    found = loaded.signatures[signature](**{name: tf.constant(value) for name, value in inputs.items()})
    return {name: value.numpy() for name, value in found.items()}


def assert_same(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        if value.dtype == object:
            np.testing.assert_array_equal(found[name], value)
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-5)


@pytest.mark.parametrize("queries", [["red shoes"], ["", "鞋", "a b c"], ["x"] * 100])
def test_default_signature(stubs: Stubs, loaded: Any, queries: list[str]) -> None:
    found = stubs.predict(query=queries)
    assert found["item_ids"].shape == (len(queries), DEFAULT_K)
    assert_same(found, expected(loaded, "serving_default", query=queries))


def test_requests_without_rows_leave_the_server_well(stubs: Stubs) -> None:
    for _ in range(8):
        with pytest.raises(grpc.RpcError) as caught:  # this model's own words: it has no k for no query
            stubs.predict(query=np.array([], np.bytes_))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert stubs.predict(query=["red"])["item_ids"].shape == (1, DEFAULT_K)


def test_every_signature(stubs: Stubs, loaded: Any) -> None:
    inputs = retrieve_inputs(["red shoes"], 7, realtime_items=[["item1", "item2"]], allowed_leaves=[["red"]])
    assert_same(stubs.predict("retrieve", **inputs), expected(loaded, "retrieve", **inputs))
    conditions = {"k", "price_range", *FILTER_LISTS}
    embedding = stubs.predict("embed_query", **{n: v for n, v in inputs.items() if n not in conditions})
    assert embedding["embedding"].shape == (1, DIM)
    found = stubs.predict("search", embedding=embedding["embedding"], k=np.array([7], np.int32))
    wanted = expected(loaded, "retrieve", **inputs)
    assert_same(found, {name: wanted[name] for name in found})
    item = {name: ["x"] for name in ("item_id", "title", "brand", "shop", "category_leaf", "category_top")}
    assert stubs.predict("embed_item", **item)["embedding"].shape == (1, DIM)


def test_bytes_that_are_no_text_are_data(stubs: Stubs, loaded: Any) -> None:
    assert_same(stubs.predict(query=[b"\xff\xfe"]), expected(loaded, "serving_default", query=[b"\xff\xfe"]))


def test_values_and_content_and_one_value_for_all(stubs: Stubs) -> None:
    vectors = np.ones([2, DIM], np.float32)
    k = np.array([3, 3], np.int32)
    wanted = stubs.predict("search", embedding=vectors, k=k)
    request = request_of("search", k=k)
    proto = request.inputs["embedding"]
    proto.dtype = tf.float32.as_datatype_enum
    proto.tensor_shape.CopyFrom(tf.TensorShape([2, DIM]).as_proto())
    for values in ([1.0] * 2 * DIM, [1.0]):
        del proto.float_val[:]
        proto.float_val.extend(values)
        found = stubs.prediction.Predict(request, timeout=TIMEOUT)
        assert_same({name: tf.make_ndarray(one) for name, one in found.outputs.items()}, wanted)


def test_strings_written_as_content_are_the_query(stubs: Stubs) -> None:
    request = request_of(query=[""])
    del request.inputs["query"].string_val[:]
    request.inputs["query"].tensor_content = b"\x09red shoes"
    found = stubs.prediction.Predict(request, timeout=TIMEOUT)
    wanted = stubs.predict(query=["red shoes"])
    assert_same({name: tf.make_ndarray(one) for name, one in found.outputs.items()}, wanted)


def test_output_filter_and_model_spec(stubs: Stubs) -> None:
    request = request_of(query=["a"])
    request.output_filter.append("scores")
    response = stubs.prediction.Predict(request, timeout=TIMEOUT)
    assert list(response.outputs) == ["scores"]
    assert (response.model_spec.name, response.model_spec.version.value) == ("retrieval", 1)
    assert response.model_spec.signature_name == "serving_default"


def test_concurrent_requests_of_differing_k_get_their_own(stubs: Stubs, loaded: Any) -> None:
    calls = [(f"word{i} red", 1 + i % 20) for i in range(200)]

    def one(call: tuple[str, int]) -> dict[str, np.ndarray]:
        return stubs.predict("retrieve", **retrieve_inputs([call[0]], call[1]))

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(one, calls))
    for (query, k), answer in zip(calls, found, strict=True):
        assert answer["item_ids"].shape == (1, k)
        assert_same(answer, expected(loaded, "retrieve", **retrieve_inputs([query], k)))


def test_metadata_names_widths(stubs: Stubs) -> None:
    from tensorflow_serving.apis import get_model_metadata_pb2

    response = stubs.metadata()
    signatures = get_model_metadata_pb2.SignatureDefMap()
    assert response.metadata["signature_def"].Unpack(signatures)
    inputs = signatures.signature_def["retrieve"].inputs
    assert {name: inputs[name].tensor_shape.dim[1].size for name in WIDTHS} == WIDTHS
    assert response.model_spec.version.value == 1


def test_status(stubs: Stubs) -> None:
    assert stubs.status() == {1: "AVAILABLE"}
