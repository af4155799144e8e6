"""What the page of the tests knows: titles of the small model's items, two users, and judged queries."""

from __future__ import annotations

import json
from pathlib import Path

COLOURS = ("red", "blue", "green")
USERS = {
    "ann": {"realtime_items": ["item7", "item8"], "realtime_ages": [60, 900], "long_click_items": ["item3"]},
    "bob": {"history_queries": ["green things"], "long_order_items": ["item30", "item31"]},
}

JUDGED = {
    f"{colour} thing": {f"item{i}": 1 + i % 3 for i in range(COLOURS.index(colour), 299, 4)} for colour in COLOURS
}


def title_of(number: int) -> str:
    """An item's title."""
    return f"{COLOURS[number % 3].title()} thing {number}"


def write_files(folder: Path) -> tuple[Path, Path, Path]:
    """The catalogue of all but the last of 300 items, two users, and judgments."""
    catalogue, users, judgments = (folder / f"{name}.jsonl" for name in ("catalog", "users", "judgments"))
    with catalogue.open("w") as file:
        for i in range(299):
            named = {"item_id": f"item{i}", "title": title_of(i), "brand": "acme", "shop": "s"}
            kinds = {"category_leaf": f"{COLOURS[i % 3]}_things", "category_top": "things"}
            file.write(json.dumps(named | kinds) + "\n")
    users.write_text("\n".join(json.dumps({"user_id": name} | past) for name, past in USERS.items()))
    grades = [(query, item, grade) for query, items in JUDGED.items() for item, grade in items.items()]
    lines = (json.dumps({"query": query, "item_id": item, "grade": grade}) for query, item, grade in grades)
    judgments.write_text("\n".join(lines))
    return catalogue, users, judgments
