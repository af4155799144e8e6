"""Tables that may lie in parts on several servers, and what is looked up in them."""

from __future__ import annotations

from typing import Any, TypeAlias

import tensorflow as tf

Table: TypeAlias = Any  # a tensor, a variable, or one in parts, for which TensorFlow has no public name


def parts_of(table: Table) -> list[tf.Variable]:
    """The variables of a table, which it is itself where it is whole."""
    return list(table.variables) if hasattr(table, "variables") else [table]


def looked_up(table: Table, rows: tf.Tensor) -> tf.Tensor:
    """Rows `[...]` of a table: `[..., width]`. No part of it moves but those."""
    parts = parts_of(table)
    return tf.gather(table, rows) if len(parts) == 1 else tf.nn.embedding_lookup(parts, rows)
