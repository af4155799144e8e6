"""The names of a served model's inputs: its signatures' contract with every client."""

from __future__ import annotations

from preprocessing.data.features import HORIZONS, VECTOR
from preprocessing.logs.records import ATTRIBUTES

ITEM_LISTS = tuple(f"{horizon}_items" for horizon in HORIZONS)
VECTOR_LISTS = ("history_queries", *ITEM_LISTS)
FILTER_LISTS = ("required_terms", "allowed_leaves", "allowed_brands", "excluded_items")
PRICE_RANGE = "price_range"  # float32 [B, 2], from and to; NaN is an open end
FILTERS = (*FILTER_LISTS, PRICE_RANGE)
ITEM_INPUTS = ("item_id", "title", "brand", "shop", "category_leaf", "category_top")


def item_inputs(vector_width: int) -> tuple[str, ...]:
    """Those of an item tower that reads vectors of a width, float32 `[B, width]`, or of one that reads none."""
    return (*ITEM_INPUTS, VECTOR) if vector_width else ITEM_INPUTS


# The raw columns of a catalogue record that the item tower's inputs are read from.
CATALOG_COLUMNS = dict(
    zip(ITEM_INPUTS, ("item_id", "title", "brand_name", "shop_name", "leaf_name", "top_name"), strict=True)
)
# The attribute names of preprocessing -> the item tower's inputs.
ATTRIBUTE_INPUTS = dict(zip(ATTRIBUTES, ("item_id", "brand", "shop", "category_leaf", "category_top"), strict=True))
