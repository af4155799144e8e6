"""What is written beside a version: where it comes from, what it is, what was measured."""

from __future__ import annotations

import hashlib
import resource
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow as tf

from serving.release.tune_effort import Tuned


def data_hash(data_dir: str) -> str:
    """Over the names and the bytes of the catalogue and of what describes it, on whatever storage it lies."""
    digest = hashlib.sha256()
    for path in sorted([*tf.io.gfile.glob(f"{data_dir}/catalog-*"), f"{data_dir}/spec.json"]):
        digest.update(PurePosixPath(path).name.encode())
        with tf.io.gfile.GFile(path, "rb") as file:
            while chunk := file.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def size_of(folder: Path) -> dict[str, int]:
    """Bytes on disk: variables, assets, graph."""
    sizes = {"variables": 0, "assets": 0, "graph": 0}
    for path in folder.rglob("*"):
        if path.is_file():
            part = path.relative_to(folder).parts[0]
            sizes[part if part in sizes else "graph" if part == "saved_model.pb" else "assets"] += path.stat().st_size
    return sizes


def describe_tuning(tuned: Tuned) -> dict[str, Any]:
    """The curve, and what was chosen on it."""
    return {
        "k": tuned.k,
        "target_reached": tuned.reached,
        "chosen": tuned.chosen.described(),
        "unseen": tuned.unseen.described() if tuned.unseen else None,
        "curve": [point.described() for point in tuned.curve],
    }


def peak_memory_mb() -> int:
    """The most that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
