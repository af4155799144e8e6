"""What a log's values mean: taken out of longer texts, translated, put in where they are missing."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from preprocessing.config_input import Value
from preprocessing.logs.documents import Document
from preprocessing.logs.records import Excluded


class FieldRules(NamedTuple):
    """By field, in the order in which they are applied; in a list, to each member."""

    extract: Mapping[str, re.Pattern[str]]  # what the first group finds, or all of it; nothing where it does not match
    values: Mapping[str, Mapping[str, Value | None]]  # a value that is not named stays; None leaves the record out
    defaults: Mapping[str, Value]  # where nothing is there
    constants: Mapping[str, Value]  # whatever is there

    def __call__(self, document: Document) -> Document:
        """The document with its fields as they are meant.

        >>> rules = FieldRules({"item_id": re.compile(r"/p/(\\d+)")}, {"action": {"buy": "order"}}, {}, {})
        >>> rules({"item_id": "https://shop/p/17?from=mail", "action": "buy"})
        {'item_id': '17', 'action': 'order'}
        """
        changed = dict(document)
        for name, pattern in self.extract.items():
            changed[name] = _each(changed.get(name), lambda value, pattern=pattern: _found(pattern, value))
        for name, meanings in self.values.items():
            changed[name] = _translated(name, meanings, changed.get(name))
        for name, value in self.defaults.items():
            if changed.get(name) is None:
                changed[name] = value
        changed.update(self.constants)
        return changed


def text_of(value: Any) -> str:
    """A value as a map names it: `true` and `3` as JSON writes them."""
    if isinstance(value, str):
        return value
    try:
        return orjson.dumps(value, default=str).decode()
    except TypeError:  # a number past 64 bits, half a character
        return str(value)


def _each(value: Any, change: Any) -> Any:
    return [change(one) for one in value] if isinstance(value, list | tuple) else change(value)


def _found(pattern: re.Pattern[str], value: Any) -> str | None:
    if value is None:
        return None
    match = pattern.search(text_of(value))
    if match is None:
        return None
    return match[1] if pattern.groups else match[0]


def _translated(name: str, meanings: Mapping[str, Value | None], value: Any) -> Any:
    if isinstance(value, list | tuple):
        meant = [meanings.get(text_of(one), one) for one in value]
        return [one for one in meant if one is not None]
    if value is None:
        return None
    meaning = meanings.get(text_of(value), value)
    if meaning is None:
        raise Excluded(f"{name} left out")
    return meaning
