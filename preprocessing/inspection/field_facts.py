"""What the fields of some documents hold: how often they are there, of which kind, examples, times."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from preprocessing.config_input import InputConfig
from preprocessing.logs import values
from preprocessing.logs.documents import Document
from preprocessing.logs.field_rules import text_of
from preprocessing.logs.records import TimeBounds

_DISTINCT = 20_000  # values that are told apart
_EXAMPLES = 3
_LONGEST = 40  # characters of an example
_MEMBERS = 100  # of a list that are looked at
_DEPTH = 5
_BOUNDS = TimeBounds.between(InputConfig().earliest, InputConfig().latest)  # of what may be a time
LIST = "[]"


class FieldFacts:
    """Of one path, such as `session.user` or `page[].sku`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.there = 0  # documents that say something
        self.kinds: collections.Counter[str] = collections.Counter()
        self.values: collections.Counter[str] = collections.Counter()  # of texts, numbers and flags, as JSON has them
        self.members: set[str] = set()  # of lists
        self.words = 0
        self.times: list[int] = []

    @property
    def of_list(self) -> bool:
        """Whether each document has a list of it."""
        return LIST in self.path or self.kinds.most_common(1)[0][0] == "list"

    @property
    def known(self) -> set[str]:
        """The values, those of lists one by one."""
        return self.members if self.of_list else set(self.values)

    def share(self, kind: str) -> float:
        """Of what is there, how much is of a kind."""
        return self.kinds[kind] / max(self.there, 1)

    @property
    def examples(self) -> list[str]:
        """A few values, the most frequent first."""
        seen = [name for name, _ in self.values.most_common(_EXAMPLES)] or sorted(self.members)[:_EXAMPLES]
        return [one if len(one) <= _LONGEST else f"{one[:_LONGEST]}..." for one in seen]

    @property
    def are_times(self) -> bool:
        """Whether nearly all of what is there can be read as times of this century."""
        return len(self.times) >= 0.95 * self.there > 0

    def add(self, value: Any) -> None:
        """What one document has at the path."""
        if isinstance(value, list | tuple):
            self._add_list(value)
            return
        if isinstance(value, Mapping) or value is None or value == "":
            return
        self.there += 1
        self.kinds[_kind(value)] += 1
        self._count(text_of(value))
        time = _time(value)
        if time is not None:
            self.times.append(time)

    def _add_list(self, value: Iterable[Any]) -> None:
        members = [one for one in itertools.islice(value, _MEMBERS) if one is not None and not isinstance(one, Mapping)]
        if members:
            self.there += 1
            self.kinds["list"] += 1
            if len(self.members) < _DISTINCT:
                self.members.update(map(text_of, members))

    def _count(self, text: str) -> None:
        self.words += len(text.split())
        if text in self.values or len(self.values) < _DISTINCT:
            self.values[text] += 1


def facts_of(documents: Iterable[Document]) -> dict[str, FieldFacts]:
    """The facts of each path."""
    found: dict[str, FieldFacts] = {}
    for document in documents:
        for path, value in _paths(document, ""):
            if path not in found:
                found[path] = FieldFacts(path)
            found[path].add(value)
    return {path: facts for path, facts in sorted(found.items()) if facts.there}


def _paths(document: Document, before: str, depth: int = 0) -> Iterator[tuple[str, Any]]:
    """Each value with its path; of a list of objects, the list of what each has."""
    for name, value in document.items():
        path = f"{before}{name}"
        yield path, value
        if depth == _DEPTH:
            continue
        if isinstance(value, Mapping):
            yield from _paths(value, f"{path}.", depth + 1)
        elif isinstance(value, list | tuple):
            yield from _of_members(value, path)


def _of_members(value: Iterable[Any], path: str) -> Iterator[tuple[str, Any]]:
    lists = collections.defaultdict(list)
    for member in itertools.islice(value, _MEMBERS):
        for name, one in member.items() if isinstance(member, Mapping) else ():
            lists[name].append(one)
    for name, ones in lists.items():
        yield f"{path}{LIST}.{name}", ones


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "flag"
    return "number" if isinstance(value, int | float) else "text"


def _time(value: Any) -> int | None:
    try:
        time = values.time(value)
    except values.UNREADABLE:
        return None
    return time if time is not None and _BOUNDS.earliest <= time < _BOUNDS.latest else None
