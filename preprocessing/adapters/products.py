"""A published product as a record of our catalogue."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from preprocessing.adapters.raw_folder import CATALOG, RawFolder
from preprocessing.adapters.read_table import Row
from preprocessing.command.console import UserError, progress
from preprocessing.logs.records import Rejected, parse_item

FIELDS = (
    "item_id",
    "title",
    "brand",
    "shop",
    "categories",
    "category",
    "category_leaf",
    "category_top",
    "description",
    "price",
    "in_stock",
)
_LEVELS = re.compile(r"\s*>\s*|\s+/\s+")  # "Furniture / Beds / Twin Beds", "Furniture > Beds"
_BATCH = 1_000


def catalog_record(row: Row, description: int) -> dict[str, Any]:
    """One line of the catalogue; only an id must be there. `description`: characters of it behind the title."""
    title, described = row.text("title"), row.text("description")
    if more := described[:description].strip():
        title = f"{title} {more}".strip()
    top, leaf = _categories(row)
    record: dict[str, Any] = {
        "item_id": row.identifier("item_id"),
        "title": title,
        "brand": row.text("brand"),
        "shop": row.text("shop"),
        "category_leaf": leaf,
        "category_top": top,
    }
    if described:
        record["description"] = described
    if row.fields.get("price") not in (None, ""):
        record["price"] = row.number_in("price")
    if row.fields.get("in_stock") is not None:
        record["in_stock"] = row.fields["in_stock"]
    ignored: list[str] = []
    try:
        parse_item(record, ignored=ignored)
    except Rejected as reason:
        row.wrong(str(reason))
    for name in ignored:
        row.wrong(f"bad {name}")
    return record


def _categories(row: Row) -> tuple[str, str]:
    """(top, leaf), from the two fields of that name or from the ends of a path, a list or a text."""
    path = row.fields.get("categories")
    if path is None:
        path = row.text("category")
    if isinstance(path, str):
        path = [" ".join(level.split()) for level in _LEVELS.split(path)]
    if not isinstance(path, list | tuple) or not all(isinstance(level, str) for level in path):
        row.wrong(f"categories is {path!r}, expected a list of names or a text like 'Furniture > Beds'")
    levels = [level for level in path if level] or [""]
    return row.text("category_top") or levels[0], row.text("category_leaf") or levels[-1]


def write_catalog(table: Iterable[Row], raw: RawFolder, description: int = 0) -> set[str]:
    """Writes every product once; returns the ids."""
    known: set[str] = set()
    raw.count("products", 0)
    with progress("products", total=None) as bar:
        for batch in _batches(_distinct(table, raw, description, known)):
            raw.write(CATALOG, batch)
            raw.count("products", len(batch))
            bar.advance(len(batch))
    if not known:
        raise UserError("the catalogue holds no product")
    return known


def _distinct(table: Iterable[Row], raw: RawFolder, description: int, known: set[str]) -> Iterator[dict[str, Any]]:
    for row in table:
        record = catalog_record(row, description)
        if record["item_id"] in known:
            raw.count("left out: a product's line again")
            continue
        known.add(record["item_id"])
        if not record["title"]:
            raw.count("products without a title")
        yield record


def _batches(records: Iterable[dict[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    batch: list[dict[str, Any]] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch
