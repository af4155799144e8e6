"""The raw records: what each stream's line must hold, and how it is read into one compact tuple."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

from preprocessing.logs import values

ATTRIBUTES = ("item", "brand", "shop", "leaf", "top")  # what an item is known by, as ids
CLICK, COLLECT, CART, ORDER = ACTIONS = ("click", "collect", "cart", "order")
UNKNOWN_TIME = -(1 << 62)  # before all others
_DAY_MS = 86_400_000
_WORD = re.compile(r"[\u3400-\u9fff]|[^\W\u3400-\u9fff]+")


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
    updated_at: int = UNKNOWN_TIME
    description: str = ""
    source: str = ""
    place: int = 0  # in its source
    vector: bytes = b""  # float32; empty where the record has none


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


V = TypeVar("V")
Fields = Mapping[str, Any]


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
    """Epoch milliseconds, as `values.time` reads them."""
    try:
        ts = values.time(value)
    except values.UNREADABLE:
        raise Rejected("bad ts") from None
    if ts is None:
        raise Rejected("missing ts")
    return ts


def required(fields: Fields, name: str, read: Callable[[Any], V | None]) -> V:
    """A value without which a record cannot be used."""
    try:
        value = read(fields.get(name))
    except values.UNREADABLE:
        raise Rejected(f"bad {name}") from None
    if value is None:
        raise Rejected(f"missing {name}")
    return value


def optional(fields: Fields, name: str, read: Callable[[Any], V | None], default: V, ignored: list[str] | None) -> V:
    """A value that may be missing; one that cannot be read is taken for missing, and `ignored` tells of it."""
    try:
        value = read(fields.get(name))
    except values.UNREADABLE:
        if ignored is not None:
            ignored.append(name)
        return default
    return default if value is None else value


def optional_identifier(fields: Fields, name: str) -> str:
    """An id, empty where it is absent."""
    try:
        return values.identifier(fields.get(name)) or ""
    except values.UNREADABLE:
        raise Rejected(f"bad {name}") from None


def _time(fields: Fields, bounds: TimeBounds) -> int:
    ts = parse_time(fields.get("ts"))
    if not bounds.earliest <= ts < bounds.latest:
        raise Rejected("ts out of bounds")
    return ts


def parse_item(
    fields: Fields,
    source: str = "",
    place: int = 0,
    ignored: list[str] | None = None,
    described: int = 0,
    vector_width: int = 0,
) -> Item:
    """A catalogue record; only `item_id` and `title` must be there.

    Args:
      fields: of the record, by the catalogue's names.
      source: the file it stands in.
      place: in the source.
      ignored: takes the names of optional fields that cannot be read.
      described: words kept of its description.
      vector_width: of its `vector`; 0: vectors are not read.
    """
    return Item(
        required(fields, "item_id", values.identifier),
        " ".join(_title(fields).split()),
        brand=optional(fields, "brand", values.label, "", ignored),
        shop=optional(fields, "shop", values.label, "", ignored),
        leaf=optional(fields, "category_leaf", values.label, "", ignored),
        top=optional(fields, "category_top", values.label, "", ignored),
        price=optional(fields, "price", values.number, math.nan, ignored),
        in_stock=optional(fields, "in_stock", values.flag, True, ignored),
        updated_at=optional(fields, "updated_at", values.time, UNKNOWN_TIME, ignored),
        description=_first_words(optional(fields, "description", values.text, "", ignored), described),
        source=source,
        place=place,
        vector=_vector(fields, vector_width) if vector_width else b"",
    )


def _vector(fields: Fields, width: int) -> bytes:
    try:
        return values.vector(fields.get("vector"), width) or b""
    except values.UNREADABLE:
        raise Rejected("bad vector") from None


def _title(fields: Fields) -> str:
    return required(fields, "title", values.text)


def _first_words(text: str, count: int) -> str:
    """As much of a text as `count` words are; a Chinese character is one."""
    ends = [word.end() for word in itertools.islice(_WORD.finditer(text), count)]
    return " ".join(text[: ends[-1]].split()) if ends else ""


def parse_search(fields: Fields, bounds: TimeBounds, source: str, keep_empty: bool = False) -> Search:
    """A searches record; one without text is left out by rule unless `keep_empty`."""
    ts = _time(fields, bounds)
    query = required(fields, "query", values.text)
    shown = required(fields, "results", _page)
    request_id = required(fields, "request_id", values.identifier)
    user_id = required(fields, "user_id", values.identifier)
    if not query.strip():
        if not keep_empty:
            raise Excluded("empty query")
        query = ""
    return Search(ts, request_id, user_id, query, shown, source)


def _page(results: Any) -> tuple[str, ...] | None:
    if results is None:
        return None
    if not isinstance(results, list | tuple):
        raise ValueError("not a list")
    shown = values.identifiers(results)
    if None in shown:
        raise ValueError("an item without an id")
    return tuple(dict.fromkeys(shown))  # type: ignore[arg-type]  # an item shown twice counts at its first place


def parse_action(fields: Fields, bounds: TimeBounds, source: str, ignored: list[str] | None = None) -> Action:
    """An actions record."""
    action = required(fields, "action", values.text)
    if action not in ACTIONS:
        raise Rejected("unknown action")
    return Action(
        _time(fields, bounds),
        required(fields, "user_id", values.identifier),
        required(fields, "item_id", values.identifier),
        action,
        optional(fields, "request_id", values.identifier, "", ignored),
        source,
    )


def day_start(ts: int, offset_ms: int) -> int:
    """The midnight at or before `ts`, where the day begins `offset_ms` ahead of UTC."""
    return (ts + offset_ms) // _DAY_MS * _DAY_MS - offset_ms


def days(count: float) -> int:
    """Days in milliseconds."""
    return round(count * _DAY_MS)
