"""What one value of a record says: ids, texts, numbers, flags and times, in the forms that logs write them.

Each reader gives None for an empty value and raises one of UNREADABLE for one that it cannot read.
"""

from __future__ import annotations

import datetime
import decimal
import math
import struct
from collections.abc import Sequence
from typing import Any

UNREADABLE = (ValueError, ArithmeticError)
_LARGEST = 3.4028234e38  # of float32, which records hold
_MILLISECONDS_FROM, _MICROSECONDS_FROM, _NANOSECONDS_FROM = 1e11, 1e14, 1e17  # each is the year 5138 in the unit before
_NO_TIME_FROM = 1e20
_WHOLE_BELOW = 2**53  # floats beyond skip whole numbers
_TRUE, _FALSE = ("true", "yes", "1", "t", "y"), ("false", "no", "0", "f", "n")


def text(value: Any) -> str | None:
    """A string, or bytes of UTF-8."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if not isinstance(value, str):
        raise ValueError("not a text")
    if not value.isascii():
        value.encode("utf-8")  # half a surrogate pair, as a dict may hold, has no bytes
    return value


def identifier(value: Any) -> str | None:
    """An id: a string or a whole number, trimmed; a line break in it would break the vocabulary files."""
    if not isinstance(value, str):
        value = _id_of_number(value)
    trimmed = (text(value) or "").strip()
    if "\n" in trimmed or "\r" in trimmed:
        raise ValueError("a line break in an id")
    return trimmed or None


def identifiers(values: Sequence[Any]) -> list[str | None]:
    """Many ids: that none has to be trimmed is seen of all of them at once."""
    if set(map(type, values)) == {str} and all(values):
        joined = "".join(values)
        if joined.isascii() and joined.split(None, 1) == [joined]:
            return list(values)
    return [identifier(value) for value in values]


def _id_of_number(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("not an id")
    if isinstance(value, float | decimal.Decimal) and abs(value) < _WHOLE_BELOW and value == int(value):
        return str(int(value))
    return str(value) if isinstance(value, int) else value


def label(value: Any) -> str | None:
    """A name such as a brand's: white space folded."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    return " ".join((text(value) or "").split()) or None


def number(value: Any) -> float | None:
    """A number that float32 can hold, also as a decimal or in a string."""
    if isinstance(value, str | bytes):
        value = (text(value) or "").strip() or None
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal | str):
        raise ValueError("not a number")
    found = float(value)
    if abs(found) > _LARGEST:
        raise ValueError("too large")
    return None if math.isnan(found) else found


def vector(value: Any, width: int) -> bytes | None:
    """A list of `width` numbers, as float32 in little-endian bytes."""
    if value is None or (isinstance(value, list | tuple) and not value):
        return None
    if not isinstance(value, list | tuple) or len(value) != width:
        raise ValueError(f"not {width} numbers")
    try:
        packed = struct.pack(f"<{width}f", *value)
    except struct.error:
        raise ValueError("not numbers") from None
    if not all(map(math.isfinite, value)):
        raise ValueError("not finite")
    return packed


def flag(value: Any) -> bool | None:
    """True or false, also as 1 or 0, or in a word."""
    if isinstance(value, bool) or value is None:
        return value
    word = str(value).strip().lower() if isinstance(value, int) else (text(value) or "").strip().lower()
    if word in _TRUE or word in _FALSE:
        return word in _TRUE
    if word:
        raise ValueError("neither true nor false")
    return None


def time(value: Any) -> int | None:
    """Epoch milliseconds, from ISO 8601 (UTC unless it says), a date, or an epoch in s, ms, us or ns."""
    if type(value) is int:  # by far the most
        return _milliseconds(value)
    if isinstance(value, str | bytes):
        value = (text(value) or "").strip() or None
    if isinstance(value, str):
        try:
            value = decimal.Decimal(value)
        except decimal.InvalidOperation:
            value = _iso(value)
    if value is None:
        return None
    if isinstance(value, datetime.date) and not isinstance(value, datetime.datetime):
        value = datetime.datetime.combine(value, datetime.time())
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        return round(value.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float | decimal.Decimal):
        raise ValueError("not a time")
    return _milliseconds(value)


def _iso(written: str) -> datetime.datetime:
    zone = written[-4:].upper()
    return datetime.datetime.fromisoformat(f"{written[:-4]}+00:00" if zone == " UTC" else written)


def _milliseconds(epoch: float | decimal.Decimal) -> int:
    size = abs(epoch)
    if not size < _NO_TIME_FROM:
        raise ValueError("not a time")
    if size >= _NANOSECONDS_FROM:
        return int(epoch) // 1_000_000
    if size >= _MICROSECONDS_FROM:
        return int(epoch) // 1_000
    return int(epoch) if size >= _MILLISECONDS_FROM else round(epoch * 1000)
