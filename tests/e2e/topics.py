"""A catalogue whose titles say nothing: what an item is about stands in its vector alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

TOPICS, WIDTH = 6, 8
ITEMS, REQUESTS, DAYS = 240, 900, 10
_START = 1_700_000_000


def records() -> list[dict[str, Any]]:
    """The catalogue: titles of random words, vectors near the topic's; the last item has none."""
    random = np.random.default_rng(11)
    centres = np.linalg.qr(random.normal(size=(WIDTH, WIDTH)))[0][:TOPICS]
    items = []
    for number in range(ITEMS):
        words = random.choice(40, 3, replace=False)
        vector = 9 * centres[number % TOPICS] + random.normal(size=WIDTH)
        title = " ".join(f"word{word}" for word in words)
        items.append({"item_id": f"item{number}", "title": title, "vector": vector.tolist()})
    del items[-1]["vector"]
    return items


def topic_of(item_id: str) -> int:
    """What a query must say to mean an item."""
    return int(item_id.removeprefix("item")) % TOPICS


def is_late(item_id: str) -> bool:
    """Whether nobody met an item while there was training."""
    return int(item_id.removeprefix("item")) // TOPICS % 2 == 1


def write_topics(folder: Path) -> None:
    """The three streams: a query names a topic, its click lies in it; in the last days only on what was never met."""
    random = np.random.default_rng(5)
    ids = [one["item_id"] for one in records()]
    searches, actions = [], []
    for number in range(REQUESTS):
        ts = _START + number * DAYS * 86_400 // REQUESTS
        late = number >= REQUESTS * (DAYS - 2) // DAYS
        topic = int(random.integers(TOPICS))
        clicked = str(random.choice([one for one in ids if topic_of(one) == topic and is_late(one) == late]))
        who = {"user_id": f"user{number}", "request_id": f"request{number}"}
        searches.append({**who, "ts": ts, "query": f"topic{topic}", "results": [clicked]})
        actions.append({**who, "ts": ts + 5, "item_id": clicked, "action": "click"})
    folder.mkdir(parents=True)
    for name, lines in {"catalog": records(), "searches": searches, "actions": actions}.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
