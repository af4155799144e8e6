"""What a raw line, row or dict holds, under our field names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from preprocessing.logs.records import Rejected

Document = Mapping[str, Any]
_EACH = "[]"  # behind a step of a path: the rest is looked for in each member of the list that is there


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
    """Applies a column map; a dotted name that no field has descends, `page[].sku` gives each member's.

    >>> renamer({"results": "page[].sku"})({"page": [{"sku": "a"}, {"sku": "b"}]})["results"]
    ['a', 'b']
    """
    if not columns:
        return lambda document: document
    paths = {ours: (theirs, theirs.split(".")) for ours, theirs in columns.items()}

    def rename(document: Document) -> Document:
        renamed = {
            ours: document[theirs] if theirs in document else descend(document, path)
            for ours, (theirs, path) in paths.items()
        }
        return {**document, **renamed}

    return rename


def path_of_column(path: str) -> str:
    """The part of a path that names a column of a table, or a field of one.

    >>> path_of_column("page[].sku"), path_of_column("session.user")
    ('page', 'session.user')
    """
    return path.split(_EACH)[0]


def descend(document: Any, path: Sequence[str]) -> Any:
    """The value at a path, None where a step is missing."""
    for place, step in enumerate(path):
        if not isinstance(document, Mapping):
            return None
        document = document.get(step.removesuffix(_EACH))
        if step.endswith(_EACH):
            if not isinstance(document, list | tuple):
                return None
            rest = path[place + 1 :]
            return [descend(member, rest) for member in document]
    return document
