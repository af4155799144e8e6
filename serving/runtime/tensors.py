"""TensorProto to numpy and back, without eager tensors in between."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2

from serving.runtime.status import invalid

# Type -> the proto's field of values and numpy's type. A string is held as bytes in an object array.
_KINDS: dict[int, tuple[str, Any]] = {
    types_pb2.DT_STRING: ("string_val", np.dtype(object)),
    types_pb2.DT_FLOAT: ("float_val", np.dtype(np.float32)),
    types_pb2.DT_DOUBLE: ("double_val", np.dtype(np.float64)),
    types_pb2.DT_INT32: ("int_val", np.dtype(np.int32)),
    types_pb2.DT_INT16: ("int_val", np.dtype(np.int16)),
    types_pb2.DT_INT8: ("int_val", np.dtype(np.int8)),
    types_pb2.DT_UINT8: ("int_val", np.dtype(np.uint8)),
    types_pb2.DT_INT64: ("int64_val", np.dtype(np.int64)),
    types_pb2.DT_BOOL: ("bool_val", np.dtype(np.bool_)),
}
_BY_DTYPE = {dtype: number for number, (_, dtype) in _KINDS.items()}
_MOST_FILLED = 1 << 20  # a few bytes may name a shape of any size: what one value may be repeated to


def type_name(number: int) -> str:
    """As TensorFlow's messages write it: `string`, `float`, `int32`."""
    names = {value: name for name, value in types_pb2.DataType.items()}
    return names.get(number, f"type {number}").removeprefix("DT_").lower()


def dtype_of(number: int) -> Any:
    """numpy's type of a TensorFlow type."""
    if number not in _KINDS:
        raise invalid(f"tensors of {type_name(number)} are not served")
    return _KINDS[number][1]


def to_array(name: str, proto: tensor_pb2.TensorProto) -> np.ndarray:
    """A request's tensor; fewer values than its shape has places repeat the last one, as TensorFlow does."""
    number, described, content = proto.dtype, proto.tensor_shape, proto.tensor_content  # each look makes a new object
    if number not in _KINDS:
        raise invalid(f"tensor parsing error: {name} (tensors of {type_name(number)} are not served)")
    field, dtype = _KINDS[number]
    shape = [one.size for one in described.dim]
    if described.unknown_rank or min(shape, default=0) < 0:
        raise invalid(f"tensor parsing error: {name} (its shape is not known)")
    size = math.prod(shape)
    if content and dtype.hasobject:
        return _strings(name, content, size).reshape(shape)
    if content:
        if len(content) != size * dtype.itemsize:
            raise invalid(f"tensor parsing error: {name} ({len(content)} bytes do not fill {shape})")
        return np.frombuffer(content, dtype).reshape(shape)
    values = getattr(proto, field)
    if len(values) != size:
        values = _filled(name, list(values), size, shape, dtype)
    try:
        return np.array(list(values) if dtype.hasobject else values, dtype).reshape(shape)
    except (OverflowError, ValueError):
        raise invalid(f"tensor parsing error: {name} (a value does not fit {dtype})") from None


def _strings(name: str, content: bytes, count: int) -> np.ndarray:
    """So many strings from a `tensor_content`: the length of each as a varint, then all their bytes.

    By hand: TensorFlow's own way to read it is an eager op, which would start a second runtime beside the sessions.
    """
    wrong = invalid(f"tensor parsing error: {name} ({len(content)} bytes are not {count} strings)")
    if count > len(content):  # each takes a byte at least
        raise wrong
    lengths: list[int] = []
    length = shift = at = 0
    while len(lengths) < count:
        if at == len(content) or shift > 28:
            raise wrong
        length |= (content[at] & 0x7F) << shift
        shift += 7
        if content[at] < 0x80:
            lengths.append(length)
            length = shift = 0
        at += 1
    if sum(lengths) != len(content) - at:
        raise wrong
    ends = at + np.cumsum(lengths, dtype=np.int64)
    found = np.empty(count, object)
    found[:] = [content[end - length : end] for end, length in zip(ends.tolist(), lengths, strict=True)]
    return found


def _filled(name: str, values: list[Any], size: int, shape: list[int], dtype: Any) -> list[Any]:
    if len(values) > size or size > _MOST_FILLED:
        raise invalid(f"tensor parsing error: {name} ({len(values)} values do not fill {shape})")
    last = values[-1] if values else b"" if dtype.hasobject else 0
    return values + [last] * (size - len(values))


def fill_proto(proto: tensor_pb2.TensorProto, array: np.ndarray) -> None:
    """Writes an answer's tensor into a message, values in their typed field as TensorFlow Serving does."""
    number = _BY_DTYPE[array.dtype]
    proto.dtype = number
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    getattr(proto, _KINDS[number][0]).extend(array.ravel().tolist())
