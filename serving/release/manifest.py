"""What is written beside a version: where it comes from, what it is, what was measured."""

from __future__ import annotations

import datetime
import hashlib
import resource
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import tensorflow as tf

from preprocessing.text.vocabulary_files import Encoding
from serving.config import ServingConfig
from serving.graph.towers import towers_hash
from serving.index.base import Index
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


def sources(
    config: ServingConfig, encoding: Encoding, job_dir: str, data_dir: str, widths: Mapping[str, int]
) -> dict[str, Any]:
    """Where a version comes from and how it was asked for."""
    return {
        "job_dir": job_dir,
        "data": data_dir,
        **source_hashes(config, job_dir, data_dir),
        "encoding": encoding,
        "widths": dict(widths),
        "default_k": config.default_k,
        "max_k": config.max_k,
    }


def source_hashes(config: ServingConfig, job_dir: str, data_dir: str) -> dict[str, Any]:
    """What a version follows from: two that agree in it are alike."""
    return {
        "towers_hash": towers_hash(job_dir),
        "data_hash": data_hash(data_dir),
        "config": config.model_dump(mode="json"),
    }


def describe_build(index: Index, tuned: Tuned, target: float) -> dict[str, Any]:
    """What was built."""
    return {
        "items": index.size,
        "dim": index.dim,
        "index": {"kind": index.kind, **index.settings(), "bytes": index.bytes},
        "target_recall": target,
        "tuning": describe_tuning(tuned),
    }


def settled(
    staged: Mapping[str, Any], version: int, model: Path, figures: Mapping[str, Any], reasons: list[str]
) -> dict[str, Any]:
    """The whole of it, of a version that was judged; whatever it was changed from is overwritten."""
    return {
        "version": version,
        "created": now(),
        **{name: value for name, value in staged.items() if name not in ("version", "created")},
        "bytes": size_of(model),
        "measured": {**staged.get("measured", {}), **figures},
        "reasons": reasons,
        "peak_memory_mb": peak_memory_mb(),
    }


def now() -> str:
    """The time of day, as it stands in a manifest."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


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
