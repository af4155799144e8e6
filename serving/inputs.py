"""The names of a served model's inputs: its signatures' contract with every client."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from preprocessing.data.features import HORIZONS, PRICE, SEQUENCES, SIGNALS, VECTOR
from preprocessing.logs.records import ATTRIBUTES

ITEM_LISTS = tuple(f"{horizon}_items" for horizon in HORIZONS)
VECTOR_LISTS = ("history_queries", *ITEM_LISTS)
# int32 lists beside `<horizon>_items`, where the tower was trained with them: its columns -> their names.
SIGNAL_LISTS = {f"{horizon}_{signal}": f"{horizon}_{signal}s" for horizon in SEQUENCES for signal in SIGNALS}
FILTER_LISTS = ("required_terms", "allowed_leaves", "allowed_brands", "excluded_items")
PRICE_RANGE = "price_range"  # float32 [B, 2], from and to; NaN is an open end
FILTERS = (*FILTER_LISTS, PRICE_RANGE)
ITEM_INPUTS = ("item_id", "title", "brand", "shop", "category_leaf", "category_top")
ITEM_PRICE = "price"  # float32, NaN for none: an input where the item tower was trained with it


def item_inputs(encoding: Mapping[str, Any]) -> tuple[str, ...]:
    """What items' vectors hang on, by a job's encoding: their strings, and where it names them price and own vector."""
    priced = (ITEM_PRICE,) if PRICE in encoding["vocabularies"] else ()
    return (*ITEM_INPUTS, *priced, *((VECTOR,) if encoding.get("vector_width") else ()))


# The raw columns of a catalogue record that the item tower's inputs are read from.
CATALOG_COLUMNS = dict(
    zip(ITEM_INPUTS, ("item_id", "title", "brand_name", "shop_name", "leaf_name", "top_name"), strict=True)
)
# The attribute names of preprocessing -> the item tower's inputs.
ATTRIBUTE_INPUTS = dict(zip(ATTRIBUTES, ("item_id", "brand", "shop", "category_leaf", "category_top"), strict=True))


def beside(signals: str) -> str:
    """The list of items that one of SIGNAL_LISTS runs beside."""
    return f"{signals.split('_')[0]}_items"
