"""Items as towers read them, wherever they come from: the catalogue, or the stages of requests."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

import tensorflow as tf


class StageItems(NamedTuple):
    """The items of one stage of all requests, flat."""

    features: dict[str, Any]  # as the catalogue has them, [n] or [n, (L)]
    requests: tf.Tensor  # [n], the row of the request each belongs to
    keys: tf.Tensor  # [n]
    log_prob: tf.Tensor  # [n]


def stage_items(requests: dict[str, Any], stage: str, columns: Collection[str]) -> StageItems:
    """Takes one stage out of a batch of requests, each feature named as in the catalogue."""
    keys = requests[f"{stage}_key"]
    return StageItems(
        {name: requests[f"{stage}_{name}"].values for name in columns},
        tf.cast(keys.value_rowids(), tf.int32),
        keys.values,
        requests[f"{stage}_log_prob"].values,
    )


def stage_columns(stage: str, columns: Collection[str]) -> set[str]:
    """The features of a request that `stage_items` reads."""
    return {f"{stage}_{name}" for name in (*columns, "item_id", "log_prob")}
