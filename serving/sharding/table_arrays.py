"""A table of items as arrays by name, and back."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from preprocessing.words.item_words import ItemWords
from serving.catalogue.table import NAMED, Table
from serving.sharding.array_folders import read_array


def table_arrays(table: Table) -> dict[str, np.ndarray]:
    """By name; the spelling of its words is left out."""
    words = {f"words_{name}": getattr(table.words, name) for name in ("words", "fields", "ends")}
    named = {f"{kind}_names": table.names[kind] for kind in NAMED}
    numbers = {f"{kind}_numbers": table.numbers[kind] for kind in NAMED}
    return {"ids": table.ids, "prices": table.prices, **words, **named, **numbers}


def read_table_of(folder: Path) -> Table:
    """The table whose arrays lie in a folder."""
    words, fields, ends = (read_array(folder, f"words_{name}") for name in ("words", "fields", "ends"))
    names = {kind: read_array(folder, f"{kind}_names") for kind in NAMED}
    numbers = {kind: read_array(folder, f"{kind}_numbers") for kind in NAMED}
    return Table(
        read_array(folder, "ids"), names, numbers, ItemWords(words, fields, ends), read_array(folder, "prices")
    )
