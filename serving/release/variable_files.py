"""The variables of a saved model as arrays: read, changed and written without its graph."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.python.trackable.base import OBJECT_GRAPH_PROTO_KEY

Variables = dict[str, Any]  # by their place in the module that was saved, as in "items/ids"
_BEHIND = "/.ATTRIBUTES/VARIABLE_VALUE"  # what a checkpoint's keys end in


def read_variables(model: Path, names: Collection[str] | None = None) -> dict[str, tf.Tensor]:
    """All variables, or those named, as they lie on disk."""
    types = tf.train.load_checkpoint(_prefix(model)).get_variable_to_dtype_map()
    wanted = sorted(types if names is None else map(_key, names))
    values = tf.raw_ops.RestoreV2(
        prefix=_prefix(model),
        tensor_names=wanted,
        shape_and_slices=[""] * len(wanted),
        dtypes=[types[key] for key in wanted],
    )
    return dict(zip((key.removesuffix(_BEHIND) for key in wanted), values, strict=True))


def write_variables(model: Path, variables: Mapping[str, Any]) -> None:
    """Writes all variables of a model, in the place of what it had."""
    keys = [_key(name) for name in variables]
    values = list(variables.values())
    tf.raw_ops.SaveV2(prefix=_prefix(model), tensor_names=keys, shape_and_slices=[""] * len(keys), tensors=values)


def _key(name: str) -> str:
    return name if name == OBJECT_GRAPH_PROTO_KEY else f"{name}{_BEHIND}"


def _prefix(model: Path) -> str:
    return str(model / "variables" / "variables")
