"""The one place that imports ScaNN: only some platforms have its wheel."""

from __future__ import annotations

import importlib
from typing import Any

from preprocessing.command.console import UserError


def load_scann_ops() -> Any:
    """The module of ScaNN's ops, which registers them with TensorFlow."""
    try:
        return importlib.import_module("scann.scann_ops.py.scann_ops")
    except ImportError as error:
        raise UserError(
            f"a ScaNN index needs the package scann, which cannot be imported here ({error}); its wheels are for Linux "
            "on x86-64: use a version exported with --index portable"
        ) from None


def reordering_config(int8: bool) -> bytes:
    """What stands behind a searcher's config to make it reorder; protocol buffers are merged by joining them.

    A searcher that is built with reordering copies all vectors, and once more when it hands out its state.
    """
    from scann.proto import scann_pb2  # there where the ops are

    config = scann_pb2.ScannConfig()
    config.exact_reordering.approx_num_neighbors = 1  # each search says how many
    config.exact_reordering.fixed_point.enabled = int8
    return config.SerializeToString()
