"""The version in place with other fresh items or tombstones: no tower is read, no index is built."""

from __future__ import annotations

import importlib
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf

from serving.catalogue.data_records import Strings
from serving.graph.signatures import save
from serving.release.fresh_items import Changes, amend, write_fresh_ids


def changed_in_place(path: str, manifest: dict[str, Any], changes: Changes, aside: Path) -> dict[str, Any]:
    """Saves the version at `path`, changed, as `<aside>/model`; returns its manifest."""
    if manifest["index"]["kind"] == "scann":
        importlib.import_module("scann.scann_ops.py.scann_ops")  # registers its ops
    loaded = tf.saved_model.load(path)

    def embed(batch: Strings) -> tf.Tensor:
        return loaded.signatures["embed_item"](**batch)["embedding"]

    counts, fresh_ids = amend(loaded, manifest["items"], changes, embed, tuple(manifest["text"]))
    save(loaded, str(aside / "model"), loaded.signatures)
    if fresh_ids is not None:
        write_fresh_ids(aside / "model" / "assets", fresh_ids)
    shutil.copytree(f"{path}/assets.extra", aside / "model" / "assets.extra")
    return manifest | {"side_index": counts, "refreshed_from": manifest["version"]}
