"""A proposed config, tried on what was read: how much can be used, and whether the logs know each other."""

from __future__ import annotations

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from preprocessing.config_input import InputConfig
from preprocessing.logs.documents import Document
from preprocessing.logs.parse import document_loader, parser
from preprocessing.logs.records import Action, Excluded, Item, Rejected, Search


class Tried(NamedTuple):
    """One stream of the sample."""

    records: list[Any]  # of which one document may hold several
    used: int  # documents
    left_out: collections.Counter[str]  # by rule or reason

    @property
    def read(self) -> int:
        """How many documents there were."""
        return self.used + self.left_out.total()


def try_config(section: Mapping[str, Any], samples: Mapping[str, Sequence[Document]]) -> dict[str, Tried]:
    """Reads the documents of each stream as the pipeline will."""
    config = InputConfig.model_validate(section)
    found = {}
    for stream, documents in samples.items():
        load, parse = document_loader(stream, config), parser(stream, config)
        records: list[Any] = []
        used, left_out = 0, collections.Counter[str]()
        for document in documents:
            try:
                parsed = parse(load(document), "", 0, [])
                records.extend(parsed if isinstance(parsed, list) else [parsed])
                used += 1
            except (Rejected, Excluded) as reason:
                left_out[str(reason)] += 1
        found[stream] = Tried(records, used, left_out)
    return found


class Known(NamedTuple):
    """How many of some ids another log has."""

    says: str
    found: int
    of: int


def in_common(tried: Mapping[str, Tried]) -> list[Known]:
    """What must be in common for the joins to find anything. Of samples: low where the logs are of other days."""
    records = [record for one in tried.values() for record in one.records]
    items = {one.item_id for one in records if isinstance(one, Item)}
    searches = [one for one in records if isinstance(one, Search)]
    actions = [one for one in records if isinstance(one, Action)]
    requests, users = {one.request_id for one in searches}, {one.user_id for one in searches}
    named = [one for one in actions if one.request_id]
    known = []
    if items:
        known.append(
            _known("items that searches show, in the catalogue", (i for one in searches for i in one.results), items)
        )
        known.append(_known("items of actions, in the catalogue", (one.item_id for one in actions), items))
    if searches:
        known.append(_known("users of actions, in the searches", (one.user_id for one in actions), users))
        known.append(_known("requests that actions name, in the searches", (one.request_id for one in named), requests))
    return [one for one in known if one.of]


def _known(says: str, ids: Iterable[str], known: set[str]) -> Known:
    distinct = set(ids)
    return Known(says, len(distinct & known), len(distinct))
