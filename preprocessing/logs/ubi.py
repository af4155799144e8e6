"""User Behavior Insights: the open log schema of OpenSearch and Elasticsearch, read as our three streams.

A line is a bulk header (`{"index": {...}}`), a document, a search hit that holds one as `_source` (so tools
dump an Elasticsearch index), or `index name <TAB> document`. A document with an `action_name` is an event, one with a
`user_query` a query; see https://ubisearch.dev for the schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preprocessing.logs import values
from preprocessing.logs.documents import Document, descend, document_of
from preprocessing.logs.records import (
    Action,
    Excluded,
    Impression,
    Rejected,
    Search,
    TimeBounds,
    parse_action,
    parse_search,
    parse_time,
    required,
)

_BULK_HEADERS = ({"index"}, {"create"}, {"update"}, {"delete"})


def load(raw: Any) -> Document:
    """The document of one line, or of one that was parsed already."""
    if isinstance(raw, bytes) and raw[:1] not in (b"{", b"["):
        _, _, raw = raw.partition(b"\t")
    document = document_of(raw)
    if document.keys() in _BULK_HEADERS:
        raise Excluded("bulk header")
    source = document.get("_source")
    return source if isinstance(source, dict) else document


class UbiParser:
    """Turns UBI documents into searches, actions and impressions."""

    def __init__(self, item_id: str, position: str, actions: Mapping[str, str], bounds: TimeBounds) -> None:
        self._item_id = item_id.split(".")
        self._position = position.split(".")
        self._actions = dict(actions)
        self._bounds = bounds

    def __call__(
        self, document: Mapping[str, Any], source: str, ignored: list[str] | None = None
    ) -> Search | Action | Impression:
        """Reads one document; `Excluded` for events that are not about an item's fate in a search."""
        fields = {
            "ts": document.get("timestamp"),
            "user_id": document.get("client_id"),
            "request_id": document.get("query_id"),
        }
        if "action_name" not in document:
            return self._search(document, fields, source)
        name = document["action_name"]
        meaning = self._actions.get(name) if isinstance(name, str) else None
        if meaning is None:
            raise Excluded("other event")
        fields["item_id"] = descend(document, self._item_id)
        if meaning != "impression":
            return parse_action({**fields, "action": meaning}, self._bounds, source, ignored)
        return self._impression(document, fields, source)

    def _search(self, document: Mapping[str, Any], fields: dict[str, Any], source: str) -> Search:
        shown = document.get("query_response_object_ids") or []
        return parse_search({**fields, "query": document.get("user_query"), "results": shown}, self._bounds, source)

    def _impression(self, document: Mapping[str, Any], fields: dict[str, Any], source: str) -> Impression:
        fields = {**fields, "position": descend(document, self._position)}
        ts = parse_time(fields["ts"])
        if not self._bounds.earliest <= ts < self._bounds.latest:
            raise Rejected("ts out of bounds")
        user_id, request_id, item_id = (
            required(fields, name, values.identifier) for name in ("user_id", "request_id", "item_id")
        )
        return Impression(ts, user_id, request_id, item_id, required(fields, "position", _ordinal), source)


def _ordinal(value: Any) -> int | None:
    found = values.number(value)
    return None if found is None else int(found)
