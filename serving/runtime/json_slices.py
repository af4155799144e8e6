"""Large JSON read and written in slices: in one call a parser would hold the interpreter from gRPC all the while."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

SLICE = 65_536  # bytes that a parser takes in one go, in a fraction of a millisecond
_DEEPEST = 20  # levels that are cut; more than a tensor's
_SPACE = b" \t\n\r"
_VALUES = 8_192  # that are written in one go
Parse = Callable[[bytes], Any]


class NotJson(ValueError):
    """What is wrong with it."""


def loads(data: bytes, parse: Parse, depth: int = 0) -> Any:
    """What `parse` makes of a document, a slice at a time; raises `NotJson`, or whatever `parse` raises."""
    data = data.strip(_SPACE)
    brackets = data[:1] + data[-1:]
    if len(data) <= SLICE or data[:1] not in (b"[", b"{"):
        return parse(data)
    if brackets not in (b"[]", b"{}") or depth == _DEEPEST:
        raise NotJson("nested too deeply" if depth == _DEEPEST else "unexpected end of data")
    inner = data[1:-1]
    if not inner.strip(_SPACE):
        return parse(brackets)
    if brackets == b"[]":
        return [one for part in _parts(inner) for one in _elements(part, parse, depth)]
    return {name: value for part in _parts(inner) for name, value in _members(part, parse, depth).items()}


def dumps(rows: list[Any] | np.ndarray, width: int, dump: Callable[[Any], bytes]) -> bytes:
    """A list of rows of about so many values as `dump` writes it."""
    step = max(1, _VALUES // max(1, width))
    return b"[" + b",".join(dump(rows[at : at + step])[1:-1] for at in range(0, len(rows), step)) + b"]"


def _elements(part: bytes, parse: Parse, depth: int) -> list[Any]:
    return [loads(part, parse, depth + 1)] if len(part) > SLICE else parse(b"[" + part + b"]")


def _members(part: bytes, parse: Parse, depth: int) -> dict[str, Any]:
    if len(part) <= SLICE:
        return parse(b"{" + part + b"}")
    colon = _end_of_name(part)
    (name,) = parse(b"{" + part[:colon] + b":0}")
    return {name: loads(part[colon + 1 :], parse, depth + 1)}


def _end_of_name(part: bytes) -> int:
    """Where the colon behind a member's name is."""
    for begin, characters in structure(part):
        colons = np.flatnonzero(characters == ord(":"))
        if len(colons):
            return begin + int(colons[0])
    raise NotJson("a name has no value")


def _parts(inner: bytes) -> Iterator[bytes]:
    """The elements of a container, in turn: as many at a time as a slice holds, a larger one by itself."""
    ends = np.append(_commas(inner), len(inner))
    begin = first = 0
    while first < len(ends):
        last = max(first, int(np.searchsorted(ends, begin + SLICE, side="right")) - 1)
        part = inner[begin : ends[last]]
        if not part.strip(_SPACE):
            raise NotJson("an element is missing")
        yield part
        begin, first = int(ends[last]) + 1, last + 1


def _commas(inner: bytes) -> np.ndarray:
    """Where the commas between a container's own elements are."""
    depth, found = 0, []
    for begin, characters in structure(inner):
        folded = characters | 0x20  # makes a curly bracket of a square one, and of nothing else
        depths = depth + np.cumsum((folded == ord("{")).astype(np.int32) - (folded == ord("}")))
        if depths.min() < 0:
            raise NotJson("a bracket too many")
        found.append(begin + np.flatnonzero((characters == ord(",")) & (depths == 0)))
        depth = int(depths[-1])
    if depth:
        raise NotJson("a bracket is missing")
    return np.concatenate(found)


def structure(data: bytes) -> Iterator[tuple[int, np.ndarray]]:
    """Pieces of a document as uint8, each with its place, blank inside strings; other threads have their turn."""
    inside, at = False, 0
    while at < len(data):
        end = at + SLICE
        while data[end - 1 : end] == b"\\":  # an escape must not be cut in two
            end += 1
        piece = data[at:end]
        if b"\\" in piece:
            piece = piece.replace(rb"\\", b"  ").replace(rb"\"", b"  ")
        characters = np.frombuffer(piece, np.uint8)
        strings = np.logical_xor.accumulate(characters == ord('"')) ^ inside
        yield at, np.where(strings, np.uint8(ord(" ")), characters)
        inside, at = bool(strings[-1]), end
