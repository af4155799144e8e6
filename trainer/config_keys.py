"""Keys of a config as one writes them, with dots: which there are, and a config with some of them set anew."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard, TypeVar, get_args, get_origin

from pydantic import BaseModel

from preprocessing.command.console import nearest
from preprocessing.command.experiment import Section

S = TypeVar("S", bound=Section)


def annotation_of(kind: type[BaseModel], key: str) -> Any:
    """The type of `key` below `kind`, or what stands for one inside a mapping; a ValueError suggests a known key."""
    node: Any = kind
    for part in key.split("."):
        if get_origin(node) is dict:
            node = get_args(node)[1]
            continue
        fields = node.model_fields if _is_section(node) else {}
        if part not in fields:
            close = difflib.get_close_matches(key, list(_keys(kind)), n=1, cutoff=0.5)
            mend = nearest(close[0], close) if close else nearest(part, kind.model_fields)
            raise ValueError(f"unknown key {key!r}{mend}")
        node = fields[part].annotation
    return node


def with_keys(section: S, values: Mapping[str, Any]) -> S:
    """The section, validated, with some keys set anew: `with_keys(config, {"loss.temperature": 0.5})`."""
    document = json.loads(section.model_dump_json())
    for key, value in values.items():
        *above, last = key.split(".")
        node = document
        for part in above:
            node = node[part]
        node[last] = value
    return type(section).model_validate(document)


def _keys(kind: type[BaseModel], prefix: str = "") -> Iterator[str]:
    for name, field in kind.model_fields.items():
        yield f"{prefix}{name}"
        below = field.annotation
        if _is_section(below):
            yield from _keys(below, f"{prefix}{name}.")


def _is_section(annotation: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
