"""Rows of Arrow as plain dicts: what one cell holds never stops the others."""

from __future__ import annotations

from typing import Any

import pyarrow

from preprocessing.logs.read_blocks import Block


class Unreadable:
    """Stands in a row for a value that Python cannot hold, such as text that is not UTF-8."""

    def __repr__(self) -> str:
        return "<unreadable>"


def records_of(block: Block) -> list[Any]:
    """The records of a block, each a line or a dict."""
    return block.records if isinstance(block.records, list) else rows(block.records)


def rows(batch: pyarrow.RecordBatch) -> list[dict[str, Any]]:
    """The rows; times to the millisecond, since Python knows no finer than microseconds."""
    if not batch.schema.names:  # a file that has none of the columns that are read
        return [{} for _ in range(len(batch))]
    columns = {name: _values(_coarser(column)) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _values(column: pyarrow.Array) -> list[Any]:
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, pyarrow.ArrowException):
        return [_value(cell) for cell in column]


def _value(cell: pyarrow.Scalar) -> Any:
    try:
        return cell.as_py()
    except (ValueError, OverflowError, pyarrow.ArrowException):
        return Unreadable()


def _coarser(column: pyarrow.Array) -> pyarrow.Array:
    wanted = _in_milliseconds(column.type)
    if wanted == column.type:
        return column
    try:
        return column.cast(wanted, safe=False)
    except pyarrow.ArrowException:
        return column


def _in_milliseconds(kind: pyarrow.DataType) -> pyarrow.DataType:
    if pyarrow.types.is_timestamp(kind):
        return pyarrow.timestamp("ms")  # without its zone, which is only how it is shown: the moment is in UTC
    if pyarrow.types.is_list(kind):
        return pyarrow.list_(_in_milliseconds(kind.value_type))
    if pyarrow.types.is_struct(kind):
        return pyarrow.struct([(field.name, _in_milliseconds(field.type)) for field in kind])
    return kind
