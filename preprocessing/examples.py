"""What a TFRecord holds: the features of a request and of a catalogue item, written and read by one spec."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from preprocessing.history import HORIZONS
from preprocessing.vocabulary import ATTRIBUTES

SCHEMA_VERSION = 1
STAGES = ("ordered", "clicked", "shown")
LENGTH = "_length"


class Feature(NamedTuple):
    """One feature: a scalar, a list, or a list of lists (whose lengths stand in `<name>_length`)."""

    name: str
    dtype: str  # int64, float32 or string
    rank: int = 1


def request_features(query_grains: Iterable[str], title_grains: Iterable[str]) -> list[Feature]:
    """One search request."""
    features = [Feature(name, "string", 0) for name in ("request_id", "user_id", "query")]
    features.append(Feature("ts", "int64", 0))
    features += [Feature(f"query_{grain}", "int64") for grain in query_grains]
    features.append(Feature("history_word", "int64", 2))
    features += [Feature(f"{horizon}_{name}", "int64") for horizon in HORIZONS for name in ATTRIBUTES]
    for stage in STAGES:
        features.append(Feature(f"{stage}_item_id", "string"))
        features += [Feature(f"{stage}_{name}", "int64") for name in ATTRIBUTES]
        features.append(Feature(f"{stage}_log_prob", "float32"))
        features += [Feature(f"{stage}_title_{grain}", "int64", 2) for grain in title_grains]
    return features


def catalog_features(title_grains: Iterable[str]) -> list[Feature]:
    """One live item: raw strings for the index and the reader, ids for the towers."""
    raw = ("item_id", "title", "brand_name", "shop_name", "leaf_name", "top_name")
    features = [Feature(name, "string", 0) for name in raw]
    features += [Feature(name, "int64", 0) for name in (*ATTRIBUTES, "count")]
    features += [Feature(name, "float32", 0) for name in ("price", "log_prob")]
    features += [Feature(f"title_{grain}", "int64") for grain in title_grains]
    return features


def parsing_spec(features: Iterable[Feature]) -> dict[str, Any]:
    """For `tf.io.parse_example`: scalars dense, lists ragged."""
    spec: dict[str, Any] = {}
    for name, dtype, rank in features:
        if rank == 0:
            spec[name] = tf.io.FixedLenFeature([], tf.as_dtype(dtype))
        else:
            partitions = [tf.io.RaggedFeature.RowLengths(name + LENGTH)] if rank == 2 else []
            spec[name] = tf.io.RaggedFeature(tf.as_dtype(dtype), value_key=name, partitions=partitions)
    return spec


def fragment(values: Mapping[str, list]) -> bytes:
    """Serialised features, empty lists left out; fragments end to end are features too, so parts can be shared."""
    features = tf.train.Features()
    for name, value in values.items():
        if not value:
            continue
        feature = features.feature[name]
        if isinstance(value[0], int):
            feature.int64_list.value.extend(value)
        elif isinstance(value[0], float):
            feature.float_list.value.extend(value)
        else:
            feature.bytes_list.value.extend(value)
    return features.SerializeToString(deterministic=True)


def example(fragments: Iterable[bytes]) -> bytes:
    """A serialised `tf.train.Example` of the fragments."""
    features = b"".join(fragments)
    return b"\x0a" + _varint(len(features)) + features  # field 1, `features`, by its length


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
