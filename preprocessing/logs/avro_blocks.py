"""Avro files by the block: the part of a file that lies between two of its marks, as its writer closed them.

Beam's own connector for Avro reads by the same library, but hands on record by record, and without their place.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import IO, Any, cast

import fastavro

AVRO = ".avro"
_PLACES = 1 << 20  # of records that a byte of a file can hold: places grow from block to block
_READ = 64 << 10
BROKEN = (Exception,)  # what a damaged file ends in: each codec and each type has its own kinds of failure
_OUT_OF_PYTHON = (ValueError, ArithmeticError)


def avro_blocks(raw: IO[bytes], begin: int, end: int) -> Iterator[tuple[int, list[Any]]]:
    """(place of the first, records) of each block that begins in these bytes of a file."""
    file = io.BufferedReader(cast(io.RawIOBase, raw))
    blocks = _open(file)
    _seek_behind(file, blocks._header["sync"], begin)
    for block in blocks:
        if block.offset >= end:
            return
        yield block.offset * _PLACES, _records(block)


def first_block(raw: IO[bytes]) -> tuple[int, list[Any]]:
    """(its bytes in the file, its records)."""
    block = next(_open(raw), None)
    return (block.size, _records(block)) if block is not None else (0, [])


def _open(file: IO[bytes]) -> Any:
    # What is not UTF-8 stays what it is, for the readers of values to refuse.
    return fastavro.block_reader(file, handle_unicode_errors="surrogateescape")


def _seek_behind(file: IO[bytes], mark: bytes, begin: int) -> None:
    """Moves to the first block at `begin` or behind it: there is a mark before each."""
    at = max(begin - len(mark), 0)
    file.seek(at)
    held = b""
    while (found := held.find(mark)) < 0 and (more := file.read(_READ)):
        held += more
    file.seek(at + (found + len(mark) if found >= 0 else len(held)))


def _records(block: Any) -> list[Any]:
    start = block.bytes_.tell()
    try:
        return list(block)
    except _OUT_OF_PYTHON:  # a time of the year 30,000, say
        block.bytes_.seek(start)
        return list(_one_by_one(block))


def _one_by_one(block: Any) -> Iterator[Any]:
    """The records; one with a value that Python cannot hold has its times, dates and decimals as they are stored."""
    stored = _without_meanings(block.writer_schema)
    for _ in range(block.num_records):
        place = block.bytes_.tell()
        try:
            yield fastavro.schemaless_reader(
                block.bytes_, block.writer_schema, None, handle_unicode_errors="surrogateescape"
            )
        except _OUT_OF_PYTHON:
            block.bytes_.seek(place)
            yield fastavro.schemaless_reader(block.bytes_, stored, None, handle_unicode_errors="surrogateescape")


def _without_meanings(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_without_meanings(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _without_meanings(value) for key, value in schema.items() if key != "logicalType"}
