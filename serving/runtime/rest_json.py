"""TensorFlow Serving's JSON: rows (`instances`) or columns (`inputs`) to arrays, and outputs back in the same shape."""

from __future__ import annotations

import base64
import codecs
import json
from typing import Any, NamedTuple

import numpy as np
import orjson

from serving.runtime.json_slices import SLICE, NotJson, dumps, loads
from serving.runtime.servable import Input, Signature
from serving.runtime.status import invalid
from serving.runtime.tensors import dtype_of, type_name

_DEEPEST = 16


class Body(NamedTuple):
    """A predict request."""

    signature_name: str
    by_row: bool
    content: Any


def read_body(data: bytes) -> Body:
    """The parsed body; what is no such request is refused."""
    parsed = _parsed(data) if len(data) <= SLICE else _in_slices(data)
    if not isinstance(parsed, dict):
        raise invalid("Request body must be an object")
    name = parsed.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid("'signature_name' key must be a string value.")
    if ("instances" in parsed) == ("inputs" in parsed):
        raise invalid("Request must have one of 'instances' (rows) and 'inputs' (columns)")
    by_row = "instances" in parsed
    content = parsed["instances" if by_row else "inputs"]
    if by_row and not (isinstance(content, list) and content):
        raise invalid("'instances' must be a list of at least one value")
    return Body(name, by_row, content)


def _in_slices(data: bytes) -> Any:
    try:
        return loads(data.partition(b"\0")[0].removeprefix(codecs.BOM_UTF8), _parsed)
    except NotJson as error:
        raise invalid(f"JSON Parse error: {error}") from None


def _parsed(data: bytes) -> Any:
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        return _with_nan(data, str(error))


def _with_nan(data: bytes, reason: str) -> Any:
    """JSON as TensorFlow Serving's parser takes it: with NaN and Infinity, behind a byte order mark, up to a NUL."""
    try:
        parsed = json.loads(data.partition(b"\0")[0].decode("utf-8-sig"))
        orjson.dumps(parsed)  # no half of a surrogate pair, which Python takes and UTF-8 has not
        return parsed
    except (ValueError, TypeError, RecursionError):
        raise invalid(f"JSON Parse error: {reason}") from None


def to_arrays(body: Body, signature: Signature) -> list[np.ndarray]:
    """The inputs, in the signature's order."""
    columns = _columns_of_rows(body.content, signature) if body.by_row else _columns(body.content, signature)
    missing, extra = signature.inputs.keys() - columns.keys(), columns.keys() - signature.inputs.keys()
    if missing or (extra and body.by_row):  # TensorFlow Serving looks at no other columns, but at each row's keys
        raise invalid(
            f"Failed to process the request: missing inputs: {{{','.join(sorted(missing))}}}, unknown inputs: "
            f"{{{','.join(sorted(extra))}}}"
        )
    return [_array(one, columns[name]) for name, one in signature.inputs.items()]


def _columns_of_rows(rows: list[Any], signature: Signature) -> dict[str, Any]:
    if not _is_object(rows[0]):
        return {_only(signature): rows}
    names = set(rows[0])
    for place, row in enumerate(rows):
        if not _is_object(row) or set(row) != names:
            raise invalid(f"instances[{place}] must be an object with the same keys as the first")
    return {name: [row[name] for row in rows] for name in names}


def _columns(content: Any, signature: Signature) -> dict[str, Any]:
    return content if _is_object(content) else {_only(signature): content}


def _only(signature: Signature) -> str:
    if len(signature.inputs) != 1:
        raise invalid(f"the signature has {len(signature.inputs)} inputs: name them, as {{name: value}}")
    return next(iter(signature.inputs))


def _is_object(value: Any) -> bool:
    """Whether it is more than a string in base64."""
    return isinstance(value, dict) and value.keys() != {"b64"}


def _array(one: Input, value: Any) -> np.ndarray:
    shape: list[int] = []
    inner = value
    while isinstance(inner, list):
        shape.append(len(inner))
        if len(shape) > _DEEPEST:
            raise invalid(f"input {one.name} is nested too deeply")
        inner = inner[0] if inner else None
    values: list[Any] = []
    _flatten(one, value, shape, 0, values)
    one.check_shape(shape)
    try:
        return np.array(values, dtype_of(one.number)).reshape(shape)
    except (OverflowError, ValueError):
        raise invalid(f"a value of input {one.name} does not fit {type_name(one.number)}") from None


def _flatten(one: Input, value: Any, shape: list[int], depth: int, values: list[Any]) -> None:
    if depth == len(shape):
        values.append(_scalar(one, value))
        return
    if not isinstance(value, list) or len(value) != shape[depth]:
        raise invalid(f"input {one.name} is ragged: lists of one level must be of one length")
    for inner in value:
        _flatten(one, inner, shape, depth + 1, values)


def _scalar(one: Input, value: Any) -> Any:
    kind = dtype_of(one.number).kind
    if kind == "O":
        if isinstance(value, str):
            return value.encode()
        if isinstance(value, dict) and isinstance(value.get("b64"), str):
            try:
                return base64.b64decode(value["b64"], validate=True)
            except ValueError:
                raise invalid(f"Unable to base64 decode a value of input {one.name}") from None
    elif kind == "b":
        if isinstance(value, bool):
            return value
    elif isinstance(value, int | float) and not isinstance(value, bool) and (kind == "f" or isinstance(value, int)):
        return value
    raise invalid(
        f"JSON Value: {json.dumps(value)[:100]} is not of expected type: {type_name(one.number)} (input {one.name})"
    )


def from_arrays(outputs: dict[str, np.ndarray], by_row: bool) -> bytes:
    """The answer's body: as the request was, by row or by column. A number that is not finite is null."""
    columns = {name: _plain(name, array) for name, array in outputs.items()}
    widths = {name: array.size // max(1, len(array)) if array.ndim else 1 for name, array in outputs.items()}
    if not by_row:
        written = {name: _written(column, widths[name]) for name, column in columns.items()}
        members = (orjson.dumps(name) + b":" + column for name, column in written.items())
        content = next(iter(written.values())) if len(written) == 1 else b"{" + b",".join(members) + b"}"
        return b'{"outputs":' + content + b"}"
    if len(columns) == 1:
        rows = next(iter(columns.values()))
    elif len({array.shape[:1] for array in outputs.values()}) != 1:
        raise invalid("the outputs differ in their first dimension: ask by column, with 'inputs'")
    else:
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    return b'{"predictions":' + _written(rows, sum(widths.values())) + b"}"


def _written(rows: Any, width: int) -> bytes:
    return dumps(rows, width, _dump) if isinstance(rows, list | np.ndarray) else _dump(rows)


def _plain(name: str, array: np.ndarray) -> Any:
    if array.dtype.kind != "O":
        return np.ascontiguousarray(array)
    if name.endswith("_bytes"):
        plain = [{"b64": base64.b64encode(value).decode()} for value in array.ravel()]
    else:
        plain = [value.decode("utf-8", "replace") for value in array.ravel()]
    return np.array(plain, dtype=object).reshape(array.shape).tolist()


def _dump(content: Any) -> bytes:
    """JSON, a float32 in the fewest digits that say it."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
