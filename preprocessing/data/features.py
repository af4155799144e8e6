"""What a TFRecord holds: the features of a request and of a catalogue item, written and read by one spec."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from preprocessing.logs.records import ACTIONS, ATTRIBUTES, CART, CLICK, COLLECT, ORDER

SCHEMA_VERSION = 4  # also to be raised where the same log gives other ids
PRICE, PRICE_VALUE = "price", "price_value"  # the band, and in the catalogue's records what the log says
ITEM_IDS = (*ATTRIBUTES, PRICE)  # what a record holds of every item: the ids of its strings, and its price's band
LOG, CATALOGUE = "log", "catalogue"  # where a folder's requests are from
STAGES = ("ordered", "clicked", "shown")
LENGTH = "_length"
VECTOR = "vector"  # of an item, by any encoder
LONG_ACTIONS = {"long_click": (CLICK,), "long_order": (ORDER,), "long_collect": (COLLECT, CART)}
SEQUENCES = ("realtime", "short")  # the horizons that are read item by item
HORIZONS = (*SEQUENCES, *LONG_ACTIONS)
SIGNALS = ("action", "age")  # of each item of a sequence: the number of its newest action, and its seconds; 0 unknown
ACTION_IDS = {name: number for number, name in enumerate(ACTIONS, 1)}


class Feature(NamedTuple):
    """One feature: a scalar, a list, or a list of lists (whose lengths stand in `<name>_length`)."""

    name: str
    dtype: str  # int64, float32 or string
    rank: int = 1
    width: int = 0  # of a vector, which is what each entry then is


def request_features(query_grains: Iterable[str], title_grains: Iterable[str], vector_width: int = 0) -> list[Feature]:
    """One search request; `vector_width` is of items' vectors, 0 where there are none."""
    features = [Feature(name, "string", 0) for name in ("request_id", "user_id", "query")]
    features.append(Feature("ts", "int64", 0))
    features += [Feature(f"query_{grain}", "int64") for grain in query_grains]
    features.append(Feature("history_word", "int64", 2))
    features += [Feature(f"{horizon}_{name}", "int64") for horizon in HORIZONS for name in ITEM_IDS]
    features += [Feature(f"{horizon}_{name}", "int64") for horizon in SEQUENCES for name in SIGNALS]
    for stage in STAGES:
        features.append(Feature(f"{stage}_item_id", "string"))
        features += [Feature(f"{stage}_{name}", "int64") for name in ITEM_IDS]
        features.append(Feature(f"{stage}_log_prob", "float32"))
        features.append(Feature(f"{stage}_position", "int64"))  # on the page, from 1; 0 for what was not on it
        features += [Feature(f"{stage}_title_{grain}", "int64", 2) for grain in title_grains]
        features += [Feature(f"{stage}_{VECTOR}", "float32", 1, vector_width)] if vector_width else []
    return features


def catalog_features(title_grains: Iterable[str], vector_width: int = 0) -> list[Feature]:
    """One live item: raw strings for the index and the reader, ids for the towers."""
    raw = ("item_id", "title", "brand_name", "shop_name", "leaf_name", "top_name", "description")
    features = [Feature(name, "string", 0) for name in raw]
    features += [Feature(name, "int64", 0) for name in (*ITEM_IDS, "count")]
    features += [Feature(name, "float32", 0) for name in (PRICE_VALUE, "log_prob")]
    features += [Feature(f"title_{grain}", "int64") for grain in title_grains]
    features += [Feature(VECTOR, "float32", 0, vector_width)] if vector_width else []
    return features


def parsing_spec(features: Iterable[Feature]) -> dict[str, Any]:
    """For `tf.io.parse_example`: scalars and vectors dense, lists ragged."""
    import tensorflow as tf  # for readers alone: whoever builds a job starts seconds sooner without it

    spec: dict[str, Any] = {}
    for name, dtype, rank, width in features:
        if rank == 0:
            spec[name] = tf.io.FixedLenFeature([width] if width else [], tf.as_dtype(dtype))
        else:
            partitions = [tf.io.RaggedFeature.RowLengths(name + LENGTH)] if rank == 2 else []
            partitions += [tf.io.RaggedFeature.UniformRowLength(width)] if width else []
            spec[name] = tf.io.RaggedFeature(tf.as_dtype(dtype), value_key=name, partitions=partitions)
    return spec


class EncodedItem(NamedTuple):
    """An item as the contents of its features: encoded once, then copied into every example that holds the item."""

    item_id: bytes
    attributes: tuple[bytes, ...]  # in the order of ITEM_IDS
    log_prob: bytes
    title: tuple[bytes, ...]  # of each title grain its ids, then how many they are
    vector: tuple[bytes, ...] = ()  # one, where items have vectors

    @staticmethod
    def attribute_columns() -> list[tuple[str, str]]:
        """(name, dtype) of `attributes`, which is all that a horizon holds of an item."""
        return [(name, "int64") for name in ITEM_IDS]

    @classmethod
    def columns(cls, title_grains: Iterable[str], vector_width: int = 0) -> list[tuple[str, str]]:
        """(name, dtype) of `contents`, which is what a stage holds of an item."""
        titles = [(f"title_{grain}{part}", "int64") for grain in title_grains for part in ("", LENGTH)]
        vector = [(VECTOR, "float32")] if vector_width else []
        return [("item_id", "string"), *cls.attribute_columns(), ("log_prob", "float32"), *titles, *vector]

    @property
    def contents(self) -> tuple[bytes, ...]:
        """All of them, in the order of `columns`."""
        return (self.item_id, *self.attributes, self.log_prob, *self.title, *self.vector)
