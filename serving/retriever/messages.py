"""The few messages that a client of TensorFlow Serving needs, written and read by hand."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from typing import NamedTuple

_FLOAT, _INT32, _STRING = 1, 3, 7  # tensorflow.DataType
_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5  # how a field is written
_LOW, _SIGN = (1 << 32) - 1, 1 << 31  # of an int32, which is written as 64 bits
_UNKNOWN = -1  # a dimension that a signature leaves open


class Tensor(NamedTuple):
    """Values in row-major order: strings, floats or whole numbers."""

    shape: tuple[int, ...]
    strings: Sequence[bytes] = ()
    floats: Sequence[float] = ()
    ints: Sequence[int] = ()


class WireError(ValueError):
    """Bytes that are no such message."""


# Writing


def _varint(number: int) -> bytes:
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _bytes(field: int, value: bytes) -> bytes:
    return _varint(field << 3 | _LENGTH) + _varint(len(value)) + value


def _number(field: int, value: int) -> bytes:
    return _varint(field << 3 | _VARINT) + _varint(value)


def _tensor(kind: int, shape: Sequence[int], values: bytes) -> bytes:
    dims = b"".join(_bytes(2, _number(1, size)) for size in shape)
    return _number(1, kind) + _bytes(2, dims) + values


def string_tensor(values: Sequence[str], shape: Sequence[int]) -> bytes:
    """A TensorProto of strings in UTF-8."""
    return _tensor(_STRING, shape, b"".join(_bytes(8, value.encode()) for value in values))


def int32_tensor(values: Sequence[int], shape: Sequence[int]) -> bytes:
    """A TensorProto of int32."""
    return _tensor(_INT32, shape, _bytes(4, struct.pack(f"<{len(values)}i", *values)))


def float_tensor(values: Sequence[float], shape: Sequence[int]) -> bytes:
    """A TensorProto of float32."""
    return _tensor(_FLOAT, shape, _bytes(4, struct.pack(f"<{len(values)}f", *values)))


def model_spec(name: str, signature: str = "", version: int | None = None, label: str | None = None) -> bytes:
    """A ModelSpec: of a version, of a label, or of the newest."""
    spec = _bytes(1, name.encode())
    if version is not None:
        spec += _bytes(2, _number(1, version))
    if signature:
        spec += _bytes(3, signature.encode())
    if label is not None:
        spec += _bytes(4, label.encode())
    return spec


def predict_request(spec: bytes, inputs: dict[str, bytes]) -> bytes:
    """A PredictRequest of TensorProtos by name."""
    entries = (_bytes(2, _bytes(1, name.encode()) + _bytes(2, tensor)) for name, tensor in inputs.items())
    return _bytes(1, spec) + b"".join(entries)


def metadata_request(spec: bytes) -> bytes:
    """A GetModelMetadataRequest for the signatures."""
    return _bytes(1, spec) + _bytes(2, b"signature_def")


# Reading


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    number, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, at
        shift += 7
        if shift > 63:
            raise WireError("a number is too long")


def _varints(data: bytes) -> list[int]:
    found, at = [], 0
    while at < len(data):
        number, at = _read_varint(data, at)
        found.append(number)
    return found


def _fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field, value) of a message: a number, or the bytes of anything else."""
    at, end = 0, len(data)
    try:
        while at < end:
            key, at = _read_varint(data, at)
            kind = key & 7
            if kind == _VARINT:
                number, at = _read_varint(data, at)
                yield key >> 3, number
                continue
            if kind == _LENGTH:
                size, at = _read_varint(data, at)
            elif kind in (_FIXED32, _FIXED64):
                size = 4 if kind == _FIXED32 else 8
            else:
                raise WireError(f"a field of kind {kind}")
            if at + size > end:
                raise WireError("a field ends behind its message")
            yield key >> 3, data[at : at + size]
            at += size
    except IndexError:
        raise WireError("the message is cut off") from None


def _entries(data: bytes, field: int) -> Iterator[tuple[str, bytes]]:
    """The (key, value) pairs of a map field."""
    for number, entry in _fields(data):
        if number == field and isinstance(entry, bytes):
            pair = dict(_fields(entry))
            yield _text(pair.get(1, b"")), _raw(pair.get(2, b""))


def _raw(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise WireError("a number where bytes belong")
    return value


def _whole(value: int | bytes) -> int:
    if not isinstance(value, int):
        raise WireError("bytes where a number belongs")
    return value


def _text(value: int | bytes) -> str:
    return _raw(value).decode("utf-8", "replace")


def _shape(data: bytes) -> tuple[int, ...] | None:
    """Of a TensorShapeProto; None where even its rank is open."""
    sizes = []
    for number, value in _fields(data):
        if number == 3 and value:
            return None
        if number == 2:
            size = dict(_fields(_raw(value))).get(1, 0)
            sizes.append(_UNKNOWN if not isinstance(size, int) or size >> 63 else size)
    return tuple(sizes)


def read_tensor(data: bytes) -> Tensor:
    """A TensorProto of strings, of floats or of int32, in either of the ways to write it."""
    shape: tuple[int, ...] = ()
    kind = 0
    strings: list[bytes] = []
    packed = b""
    ints: list[int] = []
    for number, value in _fields(data):
        if number == 7:
            ints += [value] if isinstance(value, int) else _varints(value)
        elif number == 8:
            strings.append(_raw(value))
        elif number == 1:
            kind = _whole(value)
        elif number == 2:
            shape = _shape(_raw(value)) or ()
        elif number in (4, 5):
            packed += _raw(value)
    if kind == _STRING:
        return Tensor(shape, strings)
    if kind == _INT32 and not len(packed) % 4:
        whole = [(one & _LOW) - ((one & _SIGN) << 1) for one in ints]
        return Tensor(shape, ints=whole or struct.unpack(f"<{len(packed) // 4}i", packed))
    if kind != _FLOAT or len(packed) % 4:
        raise WireError(f"a tensor of type {kind}, {len(packed)} bytes")
    return Tensor(shape, floats=struct.unpack(f"<{len(packed) // 4}f", packed))


def read_predict_response(data: bytes) -> tuple[dict[str, Tensor], int]:
    """The outputs of a PredictResponse by name, and the version that answered."""
    outputs = {name: read_tensor(value) for name, value in _entries(data, 1)}
    version = 0
    for number, spec in _fields(data):
        if number == 2:
            chosen = dict(_fields(_raw(spec))).get(2, b"")
            version = _whole(dict(_fields(_raw(chosen))).get(1, 0))
    return outputs, version


def read_input_shapes(data: bytes) -> dict[str, dict[str, tuple[int, ...] | None]]:
    """Signature -> input -> shape, of a GetModelMetadataResponse; -1 is an open dimension."""
    found: dict[str, dict[str, tuple[int, ...] | None]] = {}
    for field, packed in _entries(data, 2):
        if field != "signature_def":
            continue
        signatures = _raw(dict(_fields(packed)).get(2, b""))
        for name, definition in _entries(signatures, 1):
            inputs = _entries(definition, 1)
            found[name] = {one: _shape(_raw(dict(_fields(info)).get(3, b""))) for one, info in inputs}
    return found
