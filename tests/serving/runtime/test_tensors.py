"""A TensorProto is read as TensorFlow reads it, whichever way it is written."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2

from serving.runtime.status import ServingError
from serving.runtime.tensors import to_array


def varint(number: int) -> bytes:
    return bytes([number]) if number < 0x80 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def content_of(values: list[bytes]) -> bytes:
    """As TensorFlow's C++ writes strings into `tensor_content`."""
    return b"".join(varint(len(value)) for value in values) + b"".join(values)


def strings(content: bytes, *shape: int) -> tensor_pb2.TensorProto:
    return tensor_pb2.TensorProto(
        dtype=tf.string.as_datatype_enum, tensor_shape=tf.TensorShape(shape).as_proto(), tensor_content=content
    )


def assert_read_as_tensorflow_does(proto: tensor_pb2.TensorProto) -> None:
    try:
        wanted = tf.io.parse_tensor(proto.SerializeToString(), tf.as_dtype(proto.dtype)).numpy()
    except tf.errors.InvalidArgumentError:
        with pytest.raises(ServingError, match="tensor parsing error: x"):
            to_array("x", proto)
    else:
        np.testing.assert_array_equal(to_array("x", proto), wanted)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=300), min_size=1, max_size=12))
def test_strings_in_tensor_content(values: list[bytes]) -> None:
    proto = strings(content_of(values), len(values))
    assert to_array("x", proto).tolist() == values
    assert_read_as_tensorflow_does(proto)


@settings(deadline=None)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=6), st.data())
def test_content_that_is_cut_or_changed(values: list[bytes], data: st.DataObject) -> None:
    content = bytearray(content_of(values))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    if content:
        assert_read_as_tensorflow_does(strings(bytes(content), data.draw(st.integers(1, 7))))


def test_a_shape_of_any_size_costs_nothing() -> None:
    with pytest.raises(ServingError, match="are not 1099511627776 strings"):
        to_array("x", strings(b"\x01a", 1 << 40))


def test_strings_of_two_dimensions() -> None:
    proto = strings(content_of([b"a", b"bc", b"", b"d"]), 2, 2)
    assert to_array("x", proto).tolist() == [[b"a", b"bc"], [b"", b"d"]]
    assert_read_as_tensorflow_does(proto)
