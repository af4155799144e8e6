"""Which files are which of our streams, and the columns that make them so: by names, values, and ids in common."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from preprocessing.config_input import Ga4Config, UbiConfig
from preprocessing.inspection.field_facts import FieldFacts
from preprocessing.inspection.field_names import FILES, ITEM_ID, NAMES, action_of, likeness

# Formats that a log is in if it has these fields.
_SCHEMAS = {
    "ubi": {"user_query", "client_id"},
    "ga4": {"event_name", "event_timestamp", "event_params[].key", "user_pseudo_id"},
}
_ITEMS = {"ubi": "", "ga4": "items[]."}  # where in an event its items are
_ITEM_IDS = {"ubi": UbiConfig().item_id, "ga4": Ga4Config().item_id}
_STREAMS = ("catalog", "searches", "actions")
_ENOUGH = 0.5  # of the records must have a field that is needed
_IN_COMMON = 0.2  # of the ids of one log in another: more is no accident
_BY_VALUES = 0.6  # what a field that is needed, fits and is called otherwise counts
_MANY = 10  # ids
_IDS = {
    "item_id": ITEM_ID.names,
    "results": ITEM_ID.names,
    "user_id": NAMES["searches"]["user_id"].names,
    "request_id": NAMES["searches"]["request_id"].names,
}
Facts = Mapping[str, FieldFacts]


class Looked(NamedTuple):
    """A set of files as it was looked at."""

    pattern: str
    facts: Facts
    records: int


class Stream(NamedTuple):
    """A set of files as one of our streams."""

    looked: Looked
    columns: dict[str, str]  # our field -> their path
    missing: tuple[str, ...]  # fields that a record must have and no path was found for
    score: float


class Whole(NamedTuple):
    """A log whose schema says what it is."""

    format: str  # as `preprocessing.input.format` has it
    looked: Looked
    settings: dict[str, Any]  # of the format's section, where they are not its own defaults


class Proposal(NamedTuple):
    """What was found out."""

    streams: dict[str, Stream]
    actions: dict[str, str | None]  # what the log's own names of actions mean; None: none of ours
    whole: Whole | None = None  # a log in a schema of its own, which holds searches and actions


def propose(looked: Sequence[Looked]) -> Proposal:
    """The likeliest reading of some sets of files."""
    format, found = next(
        ((name, one) for name, fields in _SCHEMAS.items() for one in looked if fields <= one.facts.keys()), ("", None)
    )
    streams = _assigned([one for one in looked if one is not found], _STREAMS if found is None else ("catalog",))
    if found is not None:
        return Proposal(streams, {}, Whole(format, found, _holds_items(format, found, streams)))
    action = streams["actions"].columns.get("action") if "actions" in streams else None
    named = streams["actions"].looked.facts[action].values if action is not None else {}
    meanings = {name: action_of(name) for name in sorted(named)}
    return Proposal(streams, meanings)


def _holds_items(format: str, looked: Looked, streams: Mapping[str, Stream]) -> dict[str, Any]:
    """Where an event has its items' ids, if not where its schema says: where most of them are the catalogue's."""
    if "catalog" not in streams or "item_id" not in streams["catalog"].columns:
        return {}
    catalog = streams["catalog"]
    items = catalog.looked.facts[catalog.columns["item_id"]].known
    start = _ITEMS[format]
    shares = {
        path.removeprefix(start): len(facts.known & items) / len(facts.known)
        for path, facts in looked.facts.items()
        if (path.startswith(start) if start else not facts.of_list)
    }
    best = max(shares, key=lambda path: shares[path], default="")
    return {"item_id": best} if best not in ("", _ITEM_IDS[format]) and shares[best] >= _IN_COMMON else {}


def _assigned(looked: Sequence[Looked], names: Sequence[str]) -> dict[str, Stream]:
    """Each set is at most one stream: the way that scores best; a stream of which most is missing is none."""
    readings: dict[tuple[int, str], Stream] = {}
    for place, one in enumerate(looked):
        for name in names:
            readings[place, name] = _read_as(name, one, [other for other in looked if other is not one])
    best: dict[str, Stream] = {}
    best_score = 0.0
    for places in itertools.product(range(-1, len(looked)), repeat=len(names)):
        taken = [place for place in places if place >= 0]
        if len(set(taken)) < len(taken):
            continue
        chosen = {name: readings[place, name] for name, place in zip(names, places, strict=True) if place >= 0}
        score = sum(stream.score for stream in chosen.values())
        if score > best_score:
            best, best_score = chosen, score
    return best


def _read_as(name: str, looked: Looked, others: Sequence[Looked]) -> Stream:
    wanted = NAMES[name]
    scored = sorted(
        (
            (_score(name, field, facts, looked, others), field, path)
            for field in wanted
            for path, facts in looked.facts.items()
        ),
        key=lambda one: (-one[0], one[1], one[2]),
    )
    columns: dict[str, str] = {}
    total = 0.0
    for score, field, path in scored:
        if score > 0 and field not in columns and path not in columns.values():
            columns[field] = path
            total += score
    missing = tuple(field for field, one in wanted.items() if one.needed and field not in columns)
    hint = any(hint in looked.pattern.lower() for hint in FILES[name])
    return Stream(looked, columns, missing, total + 2 * hint - 4 * len(missing))


def _score(name: str, field: str, facts: FieldFacts, looked: Looked, others: Sequence[Looked]) -> float:
    """How much a path looks like one of our fields; 0 where it cannot be it."""
    wanted = NAMES[name][field]
    often = facts.there / max(looked.records, 1)
    if not wanted.fits(facts) or (wanted.needed and often < _ENOUGH):
        return 0.0
    called = likeness(facts.path, wanted.names)
    if field == "item_id" and name == "catalog" and len(facts.values) < 0.9 * facts.there:
        return 0.0  # several records an item: no catalogue
    if field in _IDS:
        called += _in_common(facts, _IDS[field], others)
    if not called and field in ("query", "ts", "title"):
        called = _BY_VALUES if _alone(field, looked, facts) else 0.0
    return called * (0.5 + often / 2)


def _alone(field: str, looked: Looked, facts: FieldFacts) -> bool:
    """Whether no other path can be the field."""
    fits = next(one[field].fits for one in NAMES.values() if field in one)
    return not any(fits(other) for other in looked.facts.values() if other is not facts)


def _in_common(facts: FieldFacts, names: Sequence[str], others: Sequence[Looked]) -> float:
    """How much its ids are another log's too, up to 1; half as much where the other's field is not called so."""
    mine = facts.known
    shares = [
        (len(mine & other.known) / max(len(mine), 1), 1.0 if likeness(other.path, names) else 0.5)
        for one in others
        for other in one.facts.values()
    ]
    certain = min(1.0, len(mine) / _MANY)  # a few small numbers are everywhere
    return certain * max((share * weight for share, weight in shares if share >= _IN_COMMON), default=0.0)


def input_section(proposal: Proposal) -> dict[str, Any]:
    """The `preprocessing.input` that reads it; columns that are called as ours are left out."""
    section: dict[str, Any] = {}
    if proposal.whole is not None:
        format, looked, settings = proposal.whole
        section = {"format": format, format: {"pattern": looked.pattern, **settings}}
    for name, stream in proposal.streams.items():
        one: dict[str, Any] = {"pattern": stream.looked.pattern}
        columns = {ours: theirs for ours, theirs in stream.columns.items() if ours != theirs}
        if columns:
            one["columns"] = dict(sorted(columns.items()))
        meanings = {theirs: ours for theirs, ours in proposal.actions.items() if theirs != ours}
        if name == "actions" and meanings:
            one["values"] = {"action": meanings}
        section[name] = one
    if "catalog" not in proposal.streams:
        section["catalog"] = None
    return section
