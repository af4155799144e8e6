"""What a batch job is asked: one row an item or a query, and a hash of all that its answer follows from."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import orjson

from preprocessing.logs.records import Excluded, Rejected, optional_identifier, parse_item
from serving.inputs import FILTER_LISTS, ITEM_INPUTS, VECTOR_LISTS

LISTS = (*VECTOR_LISTS, *FILTER_LISTS)
_LENGTHS = struct.Struct(f"<{len(ITEM_INPUTS)}I").pack


class Row(NamedTuple):
    """One item or query."""

    id: str
    content: bytes  # a hash [16]: equal content is answered alike
    values: tuple[Any, ...]  # in the order of the job's columns


def content_hash(values: Sequence[bytes]) -> bytes:
    """16 bytes of an item's strings, in the order of ITEM_INPUTS."""
    return hashlib.blake2b(b"".join((_LENGTHS(*map(len, values)), *values)), digest_size=16).digest()


def item_row(fields: Mapping[str, Any]) -> Row:
    """A catalogue record; one that is out of stock is left out, as it is from the index."""
    item = parse_item(fields)
    if not item.in_stock:
        raise Excluded("out of stock")
    values = item[:6]  # as ITEM_INPUTS has them
    return Row(item.item_id, content_hash([*map(str.encode, values)]), values)


class QueryRow:
    """Reads `query` with optional `request_id`, `k`, a user's past and conditions."""

    def __init__(self, k: int) -> None:
        self._k = k

    def __call__(self, fields: Mapping[str, Any]) -> Row:
        query, k = fields.get("query"), fields.get("k")
        if not isinstance(query, str):
            raise Rejected("missing query" if query is None else "bad query")
        if k is not None and (isinstance(k, bool) or not isinstance(k, int) or not 1 <= k < 1 << 31):
            raise Rejected("bad k")
        k = k or self._k
        lists = [_strings(fields, name) for name in LISTS]
        request_id = optional_identifier(fields, "request_id")
        content = hashlib.blake2b(orjson.dumps([request_id, [query, k, lists]]), digest_size=16).digest()
        return Row(request_id or content.hex(), content, (query, k, *lists))


def _strings(fields: Mapping[str, Any], name: str) -> list[str]:
    values = fields.get(name)
    if values is None:
        return []
    if not isinstance(values, list) or not all(isinstance(one, str) for one in values):
        raise Rejected(f"bad {name}")
    return values
