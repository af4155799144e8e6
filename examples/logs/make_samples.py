"""A week of a made-up shop, as logs of each kind: JSON Lines, Parquet and Avro, and Google Analytics 4's export.

python examples/logs/make_samples.py examples/logs
"""

from __future__ import annotations

import datetime
import gzip
import json
import random
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq

START, DAY, DAYS = 1_717_200_000_000_000, 86_400_000_000, 7  # a midnight, in microseconds
MINUTE, SECOND = 60_000_000, 1_000_000
LEAVES = {"running shoes": "sports", "boots": "sports", "lamps": "home", "bottles": "kitchen"}
COLOURS, BRANDS = ("red", "blue", "green", "black"), ("Acme", "Alpin", "Lumo")
EVENT_OF = {"click": "select_item", "cart": "add_to_cart", "order": "purchase"}
Record = dict[str, Any]


def shop(seed: int = 7) -> dict[str, list[Record]]:
    """The three streams; times in microseconds."""
    draw = random.Random(seed)
    catalog = [
        {
            "item_id": f"s{number}",
            "title": f"{draw.choice(COLOURS)} {leaf} {number}",
            "brand": draw.choice(BRANDS),
            "category_leaf": leaf,
            "category_top": LEAVES[leaf],
            "price": draw.randrange(5, 120) + 0.5,
        }
        for number, leaf in enumerate(sorted(LEAVES) * 8)
    ]
    log: dict[str, list[Record]] = {"catalog": catalog, "searches": [], "actions": []}
    for number in range(DAYS * 12):
        _search(number, draw, log)
    return log


def _search(number: int, draw: random.Random, log: dict[str, list[Record]]) -> None:
    ts = START + number * (DAY // 12) + draw.randrange(60) * MINUTE
    user, leaf = f"{draw.randrange(9)}.{1_700_000_000 + number % 9}", draw.choice(sorted(LEAVES))
    fitting = [item["item_id"] for item in log["catalog"] if item["category_leaf"] == leaf]
    page = draw.sample(fitting, 5)
    query = f"{draw.choice(COLOURS)} {leaf}"
    log["searches"].append({"request_id": f"q{number}", "ts": ts, "user_id": user, "query": query, "results": page})
    for place, action in enumerate(draw.choice([(), ("click",), ("click", "cart"), ("click", "cart", "order")]), 1):
        done = {"ts": ts + place * MINUTE, "user_id": user, "item_id": page[draw.randrange(2)], "action": action}
        log["actions"].append({**done, "request_id": f"q{number}" if action == "click" else None})


def events(log: dict[str, list[Record]]) -> list[Record]:
    """The same week as the events of Google Analytics 4, with some that are about something else."""
    items = {item["item_id"]: item for item in log["catalog"]}
    asked = {search["request_id"]: search for search in log["searches"]}
    found = [_event("page_view", START, "1.1", {"page_location": "https://shop.example/"})]
    found.append(_event("view_search_results", START, None, {"search_term": "no consent"}))
    shown = [_item(items[name], "home", place) for place, name in enumerate(sorted(items)[:3])]
    found.append(_event("view_item_list", START, "1.1", {"page_location": "https://shop.example/"}, shown))
    for search in log["searches"]:
        on = _page_of(search)
        shown = [_item(items[name], "search_results", place) for place, name in enumerate(search["results"], 1)]
        user = search["user_id"]
        found.append(_event("view_search_results", search["ts"], user, {**on, "search_term": search["query"]}))
        found.append(_event("view_item_list", search["ts"] + SECOND, user, on, shown[::-1]))
    for action in log["actions"]:
        asking = asked.get(action["request_id"])
        product = {"page_location": f"https://shop.example/p/{action['item_id']}"}
        item = _item(items[action["item_id"]], None, None)
        name = EVENT_OF[action["action"]]
        found.append(_event(name, action["ts"], action["user_id"], _page_of(asking) if asking else product, [item]))
    return sorted(found, key=lambda event: event["event_timestamp"])


def _page_of(search: Record) -> Record:
    query = search["query"].replace(" ", "+")
    return {
        "page_location": f"https://shop.example/find?q={query}&sort=best",
        "ga_session_id": search["ts"] // SECOND,
        "engagement_time_msec": 100,
    }


def _event(name: str, ts: int, user: str | None, parameters: Record, items: Iterable[Record] = ()) -> Record:
    empty = dict.fromkeys(("string_value", "int_value", "float_value", "double_value"))
    return {
        "event_date": datetime.datetime.fromtimestamp(ts / SECOND, datetime.UTC).strftime("%Y%m%d"),
        "event_timestamp": ts,
        "event_name": name,
        "event_params": [
            {"key": key, "value": {**empty, "string_value" if isinstance(value, str) else "int_value": value}}
            for key, value in parameters.items()
        ],
        "user_id": None,
        "user_pseudo_id": user,
        "device": {"category": "mobile", "language": "en"},
        "items": list(items),
    }


def _item(item: Record, list_id: str | None, place: int | None) -> Record:
    return {
        "item_id": item["item_id"],
        "item_name": item["title"],
        "item_brand": item["brand"],
        "item_category": item["category_leaf"],
        "price": item["price"],
        "item_list_id": list_id or "(not set)",
        "item_list_index": "(not set)" if place is None else str(place),
    }


def _maybe(kind: Any) -> list[Any]:
    return ["null", kind]


def _record(name: str, fields: dict[str, Any]) -> Record:
    return {"type": "record", "name": name, "fields": [{"name": key, "type": kind} for key, kind in fields.items()]}


_MOMENT = {"type": "long", "logicalType": "timestamp-micros"}
_LIST = {"type": "array", "items": "string"}
_TEXT = _maybe("string")
_VALUE = {"string_value": _TEXT, "int_value": _maybe("long")}
_VALUE |= {"float_value": _maybe("double"), "double_value": _maybe("double")}
_NAMES = ("item_id", "item_name", "item_brand", "item_category", "item_list_id", "item_list_index")
SCHEMAS = {
    "catalog": _record(
        "catalog",
        {"item_id": "string", "title": "string"}
        | dict.fromkeys(("brand", "category_leaf", "category_top"), _TEXT)
        | {"price": _maybe("double")},
    ),
    "searches": _record(
        "searches", {"request_id": "string", "ts": _MOMENT, "user_id": "string", "query": "string", "results": _LIST}
    ),
    "actions": _record(
        "actions", {"ts": _MOMENT} | dict.fromkeys(("user_id", "item_id", "action"), "string") | {"request_id": _TEXT}
    ),
    "events": _record(
        "events",
        {
            "event_date": _TEXT,
            "event_timestamp": _maybe("long"),
            "event_name": _TEXT,
            "event_params": {
                "type": "array",
                "items": _record("event_param", {"key": _TEXT, "value": _maybe(_record("event_value", _VALUE))}),
            },
            "user_id": _TEXT,
            "user_pseudo_id": _TEXT,
            "device": _maybe(_record("device", {"category": _TEXT, "language": _TEXT})),
            "items": {
                "type": "array",
                "items": _record("item", dict.fromkeys(_NAMES, _TEXT) | {"price": _maybe("double")}),
            },
        },
    ),
}


def write(name: str, records: list[Record], folder: Path) -> None:
    """One log in each format."""
    folder.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(_as_exported(one)) + "\n" for one in records)
    (folder / f"{name}.jsonl.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    with open(folder / f"{name}.avro", "wb") as file:
        fastavro.writer(file, SCHEMAS[name], records, codec="deflate", sync_interval=4_000, sync_marker=b"m" * 16)
    pq.write_table(pa.Table.from_pylist(records), folder / f"{name}.parquet", compression="zstd")


def _as_exported(value: Any) -> Any:
    """As BigQuery writes JSON: whole numbers of 64 bits as texts, and nothing of what is null."""
    if isinstance(value, dict):
        return {key: _as_exported(one) for key, one in value.items() if one is not None}
    if isinstance(value, list):
        return [_as_exported(one) for one in value]
    return str(value) if isinstance(value, int) else value


def main(folder: Path) -> None:
    """All samples."""
    log = shop()
    for name, records in {**log, "events": events(log)}.items():
        write(name, records, folder)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
