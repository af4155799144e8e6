"""Google Analytics 4's export to BigQuery, read as searches, with what they showed, and actions.

An event has a name, a time in microseconds, parameters (key and value) and items. A search has no id of its own there:
unless a parameter names it, user, session and words do, and all events of one page know them. What lists show is a
further page of their search, in the order of time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from preprocessing.config_input import Ga4Config
from preprocessing.logs import values
from preprocessing.logs.documents import Document
from preprocessing.logs.records import (
    Action,
    Excluded,
    Rejected,
    Search,
    TimeBounds,
    days,
    optional_identifier,
    parse_action,
    parse_search,
    parse_time,
)

SEARCH, LIST = "view_search_results", "view_item_list"
EVENT_FIELDS = ("event_name", "event_timestamp", "event_params", "items")
_NOT_SET = "(not set)"  # what the export writes for a missing text
_KINDS = ("string_value", "int_value", "float_value", "double_value")
_FIELDS = 64  # of an address that are looked at


class Ga4Parser:
    """Turns an event into a search, or into an action on each of its items."""

    def __init__(self, config: Ga4Config, bounds: TimeBounds) -> None:
        self._config = config
        self._bounds = bounds

    def __call__(self, event: Document, source: str, ignored: list[str]) -> list[Search | Action]:
        """Reads one event; `Excluded` for those that say nothing about a search or an item's fate."""
        name = event.get("event_name")
        action = self._config.actions.get(name) if isinstance(name, str) else None
        if action is None and name not in (SEARCH, LIST):
            raise Excluded("other event")
        user_id = _set(optional_identifier(event, self._config.user_id))
        if user_id is None:  # of a visitor who did not consent
            raise Excluded("no user")
        parameters, items = _parameters(event), _items(event)
        words = self._words(parameters)
        if words is None and name == SEARCH:
            raise Excluded("empty query")
        fields = {
            "ts": event.get("event_timestamp"),
            "user_id": user_id,
            "query": words or "",
            "request_id": _set(parameters.get(self._config.request_id)),
        }
        if words is not None and fields["request_id"] is None:
            fields["request_id"] = _request_of(user_id, parameters, fields["ts"], words)
        if action is None:
            return [self._search(name == LIST, fields, parameters, items, source)]
        return self._actions(action, fields, items, source, ignored)

    def _words(self, parameters: Mapping[str, Any]) -> str | None:
        """What the page that an event is of was searched for; None: it is no page of results."""
        words = _set(parameters.get("search_term"))
        if words is None:
            asked = _asked(parameters.get("page_location"))
            words = next((asked[name][0] for name in self._config.search_parameters if name in asked), None)
        return " ".join(str(words).split()) or None if words is not None else None

    def _search(
        self,
        is_list: bool,
        fields: Mapping[str, Any],
        parameters: Mapping[str, Any],
        items: list[Mapping[str, Any]],
        source: str,
    ) -> Search:
        if is_list and not (fields["query"] and self._shows_a_search(parameters, items)):
            raise Excluded("list without a search")
        shown = [item_id for item in _in_order(items) if (item_id := self._item_id(item)) is not None]
        return parse_search({**fields, "results": shown}, self._bounds, source)

    def _shows_a_search(self, parameters: Mapping[str, Any], items: list[Mapping[str, Any]]) -> bool:
        if not self._config.lists:
            return True
        said = (one.get(name) for one in (parameters, *items[:1]) for name in ("item_list_id", "item_list_name"))
        return any(name in self._config.lists for name in said)

    def _actions(
        self, action: str, fields: Mapping[str, Any], items: list[Mapping[str, Any]], source: str, ignored: list[str]
    ) -> list[Search | Action]:
        ids = [self._item_id(item) for item in items]
        found = list(dict.fromkeys(item_id for item_id in ids if item_id is not None))
        if not found:
            raise Rejected("missing item_id")
        if None in ids:
            ignored.append("item_id")
        return [
            parse_action({**fields, "item_id": item_id, "action": action}, self._bounds, source, ignored)
            for item_id in found
        ]

    def _item_id(self, item: Mapping[str, Any]) -> str | None:
        return _set(optional_identifier(item, self._config.item_id))


def _set(value: Any) -> Any:
    """A value, None where the export has none."""
    return None if value in ("", _NOT_SET) else value


def _parameters(event: Document) -> dict[str, Any]:
    """The parameters by key, each of the one kind that it has."""
    found: dict[str, Any] = {}
    given = event.get("event_params")
    for one in given if isinstance(given, list | tuple) else ():
        if isinstance(one, Mapping) and isinstance(one.get("key"), str) and isinstance(one.get("value"), Mapping):
            kinds = (one["value"].get(kind) for kind in _KINDS)
            found[one["key"]] = next((value for value in kinds if value is not None), None)
    return found


def _items(event: Document) -> list[Mapping[str, Any]]:
    given = event.get("items")
    return [one for one in given if isinstance(one, Mapping)] if isinstance(given, list | tuple) else []


def _in_order(items: list[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By their place in the list, if all say it; else as they come."""
    try:
        places = [values.number(_set(item.get("item_list_index"))) for item in items]
    except values.UNREADABLE:
        return items
    if None in places:
        return items
    return [item for _, item in sorted(zip(places, items, strict=True), key=lambda one: one[0] or 0)]


def _asked(address: Any) -> dict[str, list[str]]:
    """What a page's address asks for."""
    if not isinstance(address, str) or "?" not in address:
        return {}
    try:
        return parse_qs(urlsplit(address).query, max_num_fields=_FIELDS)
    except ValueError:
        return {}


def _request_of(user_id: str, parameters: Mapping[str, Any], time: Any, words: str) -> str:
    """One id for all that a user is shown for some words in a session, or where that is not known, on a day."""
    session = parameters.get("ga_session_id")
    if session is None:
        session = f"day {parse_time(time) // days(1)}"
    said = "\n".join((user_id, str(session), words))
    return hashlib.blake2b(said.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
