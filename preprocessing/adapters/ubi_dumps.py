"""User Behavior Insights logs of OpenSearch and Elasticsearch, as bulk NDJSON, search hits or index<TAB>document."""

from __future__ import annotations

import argparse
import collections
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

import orjson

from preprocessing.adapters import labels
from preprocessing.adapters.products import FIELDS, write_catalog
from preprocessing.adapters.raw_folder import ACTIONS, JUDGMENTS, SEARCHES, RawFolder
from preprocessing.adapters.read_table import Row, column_map, existing, lines, renamed, rows
from preprocessing.command.console import UserError, nearest, progress
from preprocessing.config_input import UbiConfig
from preprocessing.logs.documents import Document, descend
from preprocessing.logs.records import Action, Excluded, Impression, Rejected, Search, TimeBounds
from preprocessing.logs.ubi import UbiParser, load

# A sample of a log may be shorter than the demo's days.
CONFIG = "configs/demo.yaml --set 'preprocessing.split={eval_days: null, eval_share: 0.2}'"
SUMMARY = "UBI logs of OpenSearch or Elasticsearch, with or without a catalogue"
HELP = """\
Reads ubi_queries and ubi_events from one file, or from the *.ndjson, *.jsonl, *.json, *.tsv (each also .gz) of a folder
whose names begin with ubi: bulk NDJSON, search hits with _source, or lines of index name <TAB> document.

  action_name                stage
  purchase                   ordered
  click, item_click,         clicked
    add_to_cart (a cart)
  impression                 shown, in order of position; without any, query_response_object_ids
  --actions NAME=ACTION,...  adds names: impression, click, collect, cart or order; all others are left out, counted

Without --products an item is known by the ids of the log, its title the event's object.description. With it, actions on
items that the catalogue does not have are left out and counted. Where --item-id is another field than object_id, events
that carry both translate the pages of the queries.

--judgments takes JSON Lines (query, item_id, label) or the judgment lists of OpenSearch's Search Relevance Workbench;
ESCI's percentages there become grades by --grades '3>=100,2>=10,1>=1'. They are for all queries: the log is split by
time. (The pipeline also reads such logs by itself, of any size: input.format: ubi.)

example:
  python -m preprocessing.adapt ubi --products catalog.jsonl --item-id event_attributes.object.internal_id \\
      ubi_log.tsv.gz out/raw
"""
_ENDINGS = (".ndjson", ".jsonl", ".json", ".tsv")
_OBJECT = ("event_attributes", "object")
_BOUNDS = TimeBounds.between("2000-01-01", "2100-01-01")
_JUDGMENT_FIELDS = ("query", "item_id", "label")


def add_flags(flags: argparse.ArgumentParser) -> None:
    """The adapter's flags."""
    defaults = UbiConfig()
    flags.add_argument("path", type=Path, metavar="path", help="the log, or a folder of ubi* files")
    flags.add_argument("--products", type=Path, help="the catalogue, as of the kind judged")
    flags.add_argument("--product-columns", default="", metavar="OURS=THEIRS,...", help="as item_id=sku,title=name")
    flags.add_argument("--item-id", default=defaults.item_id, help="where an event has its item (default %(default)s)")
    flags.add_argument("--position", default=defaults.position, help="where its place is (default %(default)s)")
    flags.add_argument("--actions", default="", metavar="NAME=ACTION,...", help="further events, as wishlist=collect")
    flags.add_argument("--judgments", type=Path, help="graded relevance of queries")
    flags.add_argument("--judgment-columns", default="", metavar="OURS=THEIRS,...", help="as item_id=docId")
    labels.add_flags(flags, "ordered>=3,clicked>=2")


def adapt(given: argparse.Namespace, raw: RawFolder) -> None:
    """Writes the raw folder."""
    meaning = labels.read_flags(given)
    of_products = column_map("--product-columns", given.product_columns, FIELDS)
    of_judgments = column_map("--judgment-columns", given.judgment_columns, _JUDGMENT_FIELDS)
    log = _Log(_files(given.path), given.item_id, given.position, {**UbiConfig().actions, **_actions(given.actions)})
    if given.products is not None:
        known = write_catalog(renamed(rows(existing(given.products, "--products")), of_products), raw)
    else:
        known = set()
    log.look(raw)
    if given.products is None:
        known = write_catalog(log.items(), raw)
    log.write(known, raw)
    if given.judgments is not None:
        _write_judgments(existing(given.judgments, "--judgments"), of_judgments, meaning, known, raw)


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise UserError(f"{path}: no such file or folder")
    found = sorted(
        one for one in path.iterdir() if one.name.startswith("ubi") and one.name.removesuffix(".gz").endswith(_ENDINGS)
    )
    if not found:
        raise UserError(f"{path} holds no ubi* file of {', '.join(_ENDINGS)} (.gz); name the file itself")
    return found


def _actions(text: str) -> dict[str, str]:
    known = get_args(get_args(UbiConfig.model_fields["actions"].annotation)[1])
    meanings = {}
    for part in filter(None, text.split(",")):
        name, equals, meaning = (one.strip() for one in part.partition("="))
        if not equals or meaning not in known:
            raise UserError(f"--actions {part}: expected NAME=ACTION{nearest(meaning, known)}")
        meanings[name] = meaning
    return meanings


class _Log:
    """Read twice: for what events tell of items and pages, then to write."""

    def __init__(self, files: list[Path], item_id: str, position: str, actions: Mapping[str, str]) -> None:
        self._files = files
        self._item_id = item_id
        self._parse = UbiParser(item_id, position, actions, _BOUNDS)
        self._ids: dict[str, str] = {}  # object_id -> the id that --item-id chose
        self._titles: dict[str, str] = {}
        self._seen: dict[str, None] = {}  # items, in order
        self._pages: dict[tuple[str, str], set[tuple[int, str]]] = collections.defaultdict(set)

    def look(self, raw: RawFolder) -> None:
        """The first reading; counts what cannot be used."""
        raw.count("searches", 0)
        results: dict[str, None] = {}
        with progress("looking at items and pages", total=None) as bar:
            for number, (document, record) in enumerate(self._records(raw)):
                if isinstance(record, Search):
                    raw.count("searches")
                    results.update(dict.fromkeys(record.results))
                else:
                    self._learn(document, record.item_id)
                if isinstance(record, Impression):
                    self._pages[record.user_id, record.request_id].add((record.position, record.item_id))
                    raw.count("impressions")
                bar.advance(number % 1_000 == 0)
        self._seen.update(dict.fromkeys(self._ids.get(item_id, item_id) for item_id in results))
        if not raw.counts["searches"]:
            raise UserError(
                f"{self._files[0]}: no query of UBI in it (a document with user_query, query_id, client_id)"
            )

    def _learn(self, document: Mapping[str, Any], item_id: str) -> None:
        self._seen[item_id] = None
        found = descend(document, _OBJECT)
        if not isinstance(found, dict):
            return
        if isinstance(found.get("object_id"), str | int):
            self._ids.setdefault(str(found["object_id"]), item_id)
        if isinstance(found.get("description"), str):
            self._titles.setdefault(item_id, found["description"])

    def items(self) -> Iterator[Row]:
        """The items of the log, as a catalogue."""
        for number, item_id in enumerate(self._seen, 1):
            yield Row(self._files[0], number, {"item_id": item_id, "title": self._titles.get(item_id, "")})

    def write(self, known: set[str], raw: RawFolder) -> None:
        """The second reading."""
        with progress("searches and actions", total=None) as bar:
            for number, (_, record) in enumerate(self._records(None)):
                if isinstance(record, Search):
                    raw.write(SEARCHES, [self._search(record)])
                elif isinstance(record, Action):
                    if record.item_id in known:
                        raw.count(f"actions {record.action}")
                        raw.write(ACTIONS, [_without_source(record)])
                    else:
                        raw.count("left out: actions on items that are not in the catalogue")
                bar.advance(number % 1_000 == 0)

    def _search(self, record: Search) -> dict[str, Any]:
        page = [item_id for _, item_id in sorted(self._pages.get((record.user_id, record.request_id), ()))]
        results = page or [self._ids.get(item_id, item_id) for item_id in record.results]
        return {**_without_source(record), "results": list(dict.fromkeys(results))}

    def _records(self, raw: RawFolder | None) -> Iterator[tuple[Document, Search | Action | Impression]]:
        for path in self._files:
            for line in lines(path):
                if not line.strip():
                    continue
                try:
                    document = load(line.strip())
                    yield document, self._parse(document, "")
                except (Rejected, Excluded) as reason:
                    if raw is not None and str(reason) != "bulk header":
                        kind = "rejected" if isinstance(reason, Rejected) else "left out"
                        raw.count(f"{kind}: {reason}")


def _without_source(record: Search | Action) -> dict[str, Any]:
    fields = record._asdict()
    del fields["source"]
    return fields


def _write_judgments(
    path: Path, columns: Mapping[str, str], meaning: labels.Labels, known: set[str], raw: RawFolder
) -> None:
    raw.count("judgments", 0)
    for row in renamed(_judgments(path), columns):
        item_id = row.identifier("item_id")
        row.value("query")
        label = meaning.number(row, "label")
        if item_id not in known:
            raw.count("left out: judgments of items that are not in the catalogue")
            continue
        raw.count("judgments")
        record = {"query": row.text("query"), "item_id": item_id, "grade": meaning.grade(label), "label": label}
        raw.write(JUDGMENTS, [record])


def _judgments(path: Path) -> Iterator[Row]:
    """Lines, or the Workbench's nested lists."""
    if not path.name.removesuffix(".gz").endswith(".json"):
        yield from rows(path)
        return
    try:
        document = orjson.loads(b"".join(lines(path)))
        found = [
            {"query": one["query"], "item_id": rating["docId"], "label": rating["rating"]}
            for one in document["judgmentRatings"]
            for rating in one["ratings"]
        ]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(
            f"{path}: {error!r}; expected JSON with judgmentRatings of query and ratings (docId, rating), or .jsonl"
        ) from None
    for number, fields in enumerate(found, 1):
        yield Row(path, number, fields)
