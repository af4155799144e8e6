"""A simulated market's logs by day, as they arrive: each day its searches, its actions, and the items first seen."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from preprocessing.marketplace.catalog import DAY_MS, FIRST_DAY

Record = dict[str, Any]


def deal_by_day(raw: Path, folder: Path, first: int) -> list[Path]:
    """A folder for each day, in order; the first holds days 1 to `first` and the whole catalogue of then."""
    last = max(_day(one) for one in _read(raw / "searches.jsonl.gz"))
    days = [folder / f"{day:03d}" for day in range(first, last + 1)]
    if not all((day / "_SUCCESS").exists() for day in days):
        seen: dict[str, int] = {}
        for stream in ("searches", "actions"):
            _deal(stream, ((max(first, _noted(one, seen)), one) for one in _read(raw / f"{stream}.jsonl.gz")), folder)
        items = ((max(first, seen.get(one["item_id"], first)), one) for one in _read(raw / "catalog.jsonl.gz"))
        _deal("catalog", items, folder)
        for day in days:
            (day / "catalog.jsonl").touch()
            (day / "_SUCCESS").touch()
    return days


def all_until(days: list[Path], folder: Path) -> Path:
    """The logs of some days as one input."""
    folder.mkdir(parents=True, exist_ok=True)
    for day in days:
        for path in day.glob("*.jsonl"):
            link = folder / f"{path.stem}-{day.name}.jsonl"
            if path.stat().st_size and not link.exists():
                os.link(path, link)
    return folder


def _day(record: Record) -> int:
    return int((record["ts"] - FIRST_DAY) // DAY_MS) + 1


def _noted(record: Record, seen: dict[str, int]) -> int:
    """A record's day, on which it names items."""
    day = _day(record)
    for item_id in record.get("results") or [record.get("item_id")]:
        seen[item_id] = min(day, seen.get(item_id, day))
    return day


def _deal(stream: str, dated: Iterator[tuple[int, Record]], folder: Path) -> None:
    files: dict[int, Any] = {}
    for day, record in dated:
        if day not in files:
            place = folder / f"{day:03d}"
            place.mkdir(parents=True, exist_ok=True)
            files[day] = (place / f"{stream}.jsonl").open("wb")
        files[day].write(orjson.dumps(record, option=orjson.OPT_APPEND_NEWLINE))
    for file in files.values():
        file.close()


def _read(path: Path) -> Iterator[Record]:
    with gzip.open(path) as file:
        yield from map(orjson.loads, file)
