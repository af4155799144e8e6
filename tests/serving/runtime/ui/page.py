"""What the page of the tests knows: titles of the small model's items, and two users."""

from __future__ import annotations

import json
from pathlib import Path

COLOURS = ("red", "blue", "green")
USERS = {
    "ann": {"realtime_items": ["item7", "item8"], "realtime_ages": [60, 900], "long_click_items": ["item3"]},
    "bob": {"history_queries": ["green things"], "long_order_items": ["item30", "item31"]},
}


def title_of(number: int) -> str:
    """An item's title."""
    return f"{COLOURS[number % 3].title()} thing {number}"


def write_files(folder: Path) -> tuple[Path, Path]:
    """The catalogue of all but the last of 300 items, and two users."""
    catalogue, users = folder / "catalog.jsonl", folder / "users.jsonl"
    with catalogue.open("w") as file:
        for i in range(299):
            named = {"item_id": f"item{i}", "title": title_of(i), "brand": "acme", "shop": "s"}
            kinds = {"category_leaf": f"{COLOURS[i % 3]}_things", "category_top": "things"}
            file.write(json.dumps(named | kinds) + "\n")
    users.write_text("\n".join(json.dumps({"user_id": name} | past) for name, past in USERS.items()))
    return catalogue, users
