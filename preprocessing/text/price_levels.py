"""How the table of median prices names its lines: what builds a job must not need TensorFlow for that."""

from __future__ import annotations

LEAF, TOP, ALL = "leaf/", "top/", "all"  # the first two before a category's name
SEPARATOR = "\t"  # no name holds one: white space in names is folded
