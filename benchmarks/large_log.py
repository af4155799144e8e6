"""A large raw log, quick to make: Zipf items and queries, sessions, pages of twenty, clicks by position."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import orjson

_DAYS_MS = 40 * 86_400_000
_START = 1_700_000_000_000
_PAGE = 20
_WORDS = [
    f"{a}{b}" for a in ("so", "la", "ki", "mer", "ton", "var", "el", "un") for b in ("fa", "mp", "ta", "nel", "dor")
]
_ACTIONS = ("click", "click", "click", "click", "click", "click", "collect", "cart", "cart", "order")


def make(folder: Path, events: int, seed: int = 17, items: int = 50_000) -> int:
    """Writes catalogue, searches and actions of about `events` searches and actions; returns the exact number."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(seed)
    _catalog(folder / "catalog.jsonl", items, random)
    searches = round(events / 2.2)
    users = max(10, searches // 30)
    times = np.sort(random.integers(_START, _START + _DAYS_MS, searches))
    popularity = np.argsort(random.random(items))
    written = 0
    with open(folder / "searches.jsonl", "wb") as search_file, open(folder / "actions.jsonl", "wb") as action_file:
        for start in range(0, searches, 50_000):
            block = times[start : start + 50_000]
            rows, acted = _block(block, start, users, popularity, random)
            search_file.write(b"".join(orjson.dumps(row) + b"\n" for row in rows))
            action_file.write(b"".join(orjson.dumps(row) + b"\n" for row in acted))
            written += len(rows) + len(acted)
    return written


def _catalog(path: Path, items: int, random: np.random.Generator) -> None:
    words = random.integers(0, len(_WORDS), (items, 8))
    with open(path, "wb") as file:
        for item in range(items):
            fields = {
                "item_id": f"item{item:07d}",
                "title": " ".join(_WORDS[word] for word in words[item]),
                "brand": f"brand {item % 997}",
                "shop": f"shop {item % 4999}",
                "category_leaf": f"leaf {item % 211}",
                "category_top": f"top {item % 17}",
                "price": float(item % 300),
            }
            file.write(orjson.dumps(fields) + b"\n")


def _block(
    times: np.ndarray, first: int, users: int, popularity: np.ndarray, random: np.random.Generator
) -> tuple[list[dict], list[dict]]:
    count = len(times)
    pages = popularity[(len(popularity) * random.random((count, _PAGE)) ** 2.5).astype(int)]
    clicked = random.random((count, _PAGE)) < 0.22 / (1 + np.arange(_PAGE)) ** 0.75
    user = random.integers(0, users, count)
    query = (5_000 * random.random((count, 2)) ** 3).astype(int)
    delay = random.integers(1_000, 600_000, (count, _PAGE))
    kind = random.integers(0, len(_ACTIONS), (count, _PAGE))
    named = random.random((count, _PAGE)) < 0.85
    searches, actions = [], []
    for row in range(count):
        request, user_id, ts = f"request-{first + row:09d}", f"user-{user[row]:07d}", int(times[row])
        results = [f"item{item:07d}" for item in pages[row].tolist()]
        text = f"{_WORDS[query[row, 0] % len(_WORDS)]} {_WORDS[query[row, 1] % len(_WORDS)]} {query[row, 0] // 7}"
        searches.append({"request_id": request, "ts": ts, "user_id": user_id, "query": text, "results": results})
        for place in np.flatnonzero(clicked[row]).tolist():
            action = {
                "ts": ts + int(delay[row, place]),
                "user_id": user_id,
                "item_id": results[place],
                "action": _ACTIONS[kind[row, place]],
            }
            actions.append({**action, "request_id": request} if named[row, place] else action)
    return searches, actions
