"""The raw records: what each stream's line must hold, and how it is read into one compact tuple."""

from __future__ import annotations

import datetime
import marshal
import math
import struct
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, TypeVar

import pyarrow

ATTRIBUTES = ("item", "brand", "shop", "leaf", "top")  # what an item is known by, as ids
CLICK, COLLECT, CART, ORDER = ACTIONS = ("click", "collect", "cart", "order")
_MILLISECONDS_FROM = 1e11  # as seconds that is the year 5138, as milliseconds 1973
_DAY_MS = 86_400_000
_CODEC, _SIZE = (
    pyarrow.Codec("zstd", compression_level=1),
    struct.Struct("<Q"),
)  # what is shuffled is worth a quick squeeze


class Rejected(Exception):
    """A record that cannot be used; its text is the reason, in a word or two."""


class Excluded(Exception):
    """A record that a stated rule leaves out; its text is the rule."""


class Item(NamedTuple):
    """One line of the catalogue."""

    item_id: str
    title: str = ""
    brand: str = ""
    shop: str = ""
    leaf: str = ""
    top: str = ""
    price: float = math.nan
    in_stock: bool = True


class Search(NamedTuple):
    """One search request; `results` in shown order."""

    ts: int  # epoch milliseconds, as everywhere behind this file
    request_id: str
    user_id: str
    query: str
    results: tuple[str, ...]
    source: str


class Action(NamedTuple):
    """One thing a user did to an item; `request_id` is empty where the log names none."""

    ts: int
    user_id: str
    item_id: str
    action: str
    request_id: str
    source: str


class Impression(NamedTuple):
    """One item shown, where a log tells it item by item."""

    ts: int
    user_id: str
    request_id: str
    item_id: str
    position: int
    source: str


R = TypeVar("R", bound=tuple)
Fields = Mapping[str, Any]


def pack(records: Iterable[tuple]) -> bytes:
    """Many records as one compact element: a coder that is asked for each record takes several times as long."""
    plain = marshal.dumps([tuple(record) for record in records])
    return b"".join((_SIZE.pack(len(plain)), _CODEC.compress(plain, asbytes=True)))


def unpack(kind: Callable[[Any], R], batch: bytes) -> list[R]:
    """The records of a `pack`, as `kind` (such as `Search._make`)."""
    (size,) = _SIZE.unpack_from(batch)
    return list(map(kind, marshal.loads(_CODEC.decompress(memoryview(batch)[_SIZE.size :], size))))


class TimeBounds(NamedTuple):
    """Times outside `[earliest, latest)` come from broken clocks."""

    earliest: int
    latest: int

    @classmethod
    def between(cls, earliest: str, latest: str) -> TimeBounds:
        """Bounds from two dates.

        >>> TimeBounds.between("1970-01-01", "1970-01-02")
        TimeBounds(earliest=0, latest=86400000)
        """
        return cls(parse_time(earliest), parse_time(latest))


def parse_time(value: Any) -> int:
    """Epoch milliseconds from epoch seconds, epoch milliseconds, ISO 8601 (UTC unless it says) or a datetime."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            value = _parse_iso(value)
    if isinstance(value, datetime.datetime):
        if value.tzinfo is None:
            value = value.replace(tzinfo=datetime.UTC)
        return round(value.timestamp() * 1000)
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise Rejected("bad ts")
    return int(value) if abs(value) >= _MILLISECONDS_FROM else round(value * 1000)


def _parse_iso(text: str) -> datetime.datetime:
    try:
        return datetime.datetime.fromisoformat(text)
    except ValueError:
        raise Rejected("bad ts") from None


def _time(fields: Fields, bounds: TimeBounds) -> int:
    if fields.get("ts") is None:
        raise Rejected("missing ts")
    ts = parse_time(fields["ts"])
    if not bounds.earliest <= ts < bounds.latest:
        raise Rejected("ts out of bounds")
    return ts


def _identifier(fields: Fields, name: str) -> str:
    value = optional_identifier(fields, name)
    if not value:
        raise Rejected(f"missing {name}")
    return value


def optional_identifier(fields: Fields, name: str) -> str:
    """An id as a string, empty where it is absent; line breaks would break the vocabulary files."""
    value = fields.get(name)
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int):
        raise Rejected(f"bad {name}")
    text = str(value).strip()
    if "\n" in text or "\r" in text:
        raise Rejected(f"bad {name}")
    return text


def _label(fields: Fields, name: str) -> str:
    """A name such as a brand: white space folded, empty where it is absent."""
    value = fields.get(name)
    if value is None:
        return ""
    if not isinstance(value, str | int):
        raise Rejected(f"bad {name}")
    return " ".join(str(value).split())


def parse_item(fields: Fields) -> Item:
    """A catalogue record; only `item_id` and `title` must be there."""
    item_id = _identifier(fields, "item_id")
    if not isinstance(fields.get("title"), str):
        raise Rejected("missing title" if fields.get("title") is None else "bad title")
    price, in_stock = fields.get("price"), fields.get("in_stock")
    if price is not None and (isinstance(price, bool) or not isinstance(price, int | float)):
        raise Rejected("bad price")
    if in_stock is not None and not isinstance(in_stock, bool):
        raise Rejected("bad in_stock")
    return Item(
        item_id,
        " ".join(fields["title"].split()),
        brand=_label(fields, "brand"),
        shop=_label(fields, "shop"),
        leaf=_label(fields, "category_leaf"),
        top=_label(fields, "category_top"),
        price=math.nan if price is None else float(price),
        in_stock=in_stock is not False,
    )


def parse_search(fields: Fields, bounds: TimeBounds, source: str, keep_empty: bool = False) -> Search:
    """A searches record; one without text is left out by rule unless `keep_empty`."""
    ts = _time(fields, bounds)
    query, results = fields.get("query"), fields.get("results")
    if query is None:
        raise Rejected("missing query")
    if not isinstance(query, str):
        raise Rejected("bad query")
    if results is None:
        raise Rejected("missing results")
    if not isinstance(results, list | tuple) or not all(isinstance(item, str | int) for item in results):
        raise Rejected("bad results")
    shown = tuple(dict.fromkeys(str(item) for item in results))  # an item shown twice counts at its first place
    request_id, user_id = _identifier(fields, "request_id"), _identifier(fields, "user_id")
    if not query.strip():
        if not keep_empty:
            raise Excluded("empty query")
        query = ""
    return Search(ts, request_id, user_id, query, shown, source)


def parse_action(fields: Fields, bounds: TimeBounds, source: str) -> Action:
    """An actions record."""
    action = fields.get("action")
    if action is None:
        raise Rejected("missing action")
    if action not in ACTIONS:
        raise Rejected("unknown action")
    return Action(
        _time(fields, bounds),
        _identifier(fields, "user_id"),
        _identifier(fields, "item_id"),
        action,
        optional_identifier(fields, "request_id"),
        source,
    )


def day_start(ts: int, offset_ms: int) -> int:
    """The midnight at or before `ts`, where the day begins `offset_ms` ahead of UTC."""
    return (ts + offset_ms) // _DAY_MS * _DAY_MS - offset_ms


def days(count: float) -> int:
    """Days in milliseconds."""
    return round(count * _DAY_MS)
