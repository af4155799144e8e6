"""What a raw line, row or dict holds, under our field names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from preprocessing.logs.records import Rejected

Document = Mapping[str, Any]


def document_of(raw: Any) -> Document:
    """What a line of JSON holds, or the document itself where it comes as one."""
    if isinstance(raw, bytes):
        try:
            raw = orjson.loads(raw)
        except orjson.JSONDecodeError:
            raise Rejected("unparsable") from None
    if not isinstance(raw, Mapping):
        raise Rejected("not an object")
    return raw


def loader(columns: Mapping[str, str]) -> Callable[[Any], Document]:
    """Reads documents under our field names; `columns` maps ours to theirs."""
    rename = renamer(columns)
    return lambda raw: rename(document_of(raw))


def renamer(columns: Mapping[str, str]) -> Callable[[Document], Document]:
    """Applies a column map; a dotted name descends."""
    if not columns:
        return lambda document: document
    paths = {ours: theirs.split(".") for ours, theirs in columns.items()}

    def rename(document: Document) -> Document:
        return {**document, **{ours: descend(document, path) for ours, path in paths.items()}}

    return rename


def descend(document: Any, path: Sequence[str]) -> Any:
    """The value at a path, None where a step is missing."""
    for step in path:
        if not isinstance(document, Mapping):
            return None
        document = document.get(step)
    return document
