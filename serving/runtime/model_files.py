"""A model's files, on this machine's disk or wherever else TensorFlow reads (`gs://`)."""

from __future__ import annotations

import contextlib
import os
import re

import tensorflow as tf

_NUMBER = re.compile("[0-9]+")  # of a version: `007` is 7, as there
StrPath = str | os.PathLike[str]


def is_folder(path: StrPath) -> bool:
    """Whether it is one that can be seen."""
    try:
        return tf.io.gfile.isdir(path)
    except tf.errors.OpError:
        return False


def versions_in(base: StrPath) -> dict[int, str] | None:
    """The versions in a base path now and where each lies; None where the folder cannot be read."""
    try:
        names = sorted(name.rstrip("/") for name in tf.io.gfile.listdir(base))
        paths = {name: f"{os.fspath(base)}/{name}" for name in names if _NUMBER.fullmatch(name)}
        return {int(name): path for name, path in paths.items() if int(name) < 1 << 63 and tf.io.gfile.isdir(path)}
    except tf.errors.OpError:
        return None


def fingerprint(path: StrPath) -> object:
    """Changes when any of a version's files does: what failed to load is tried again then."""
    found = []
    with contextlib.suppress(tf.errors.OpError):
        for folder, _, names in tf.io.gfile.walk(path):
            for name in names:
                with contextlib.suppress(tf.errors.OpError, OSError):
                    found.append((folder, name, *_changed(f"{folder}/{name}")))
    return tuple(sorted(found))


def _changed(file: str) -> tuple[int, int]:
    """When a file was written, and its length. Of local files TensorFlow knows the time in whole seconds alone."""
    if "://" in file:
        remote = tf.io.gfile.stat(file)
        return remote.mtime_nsec, remote.length
    local = os.stat(file)
    return local.st_mtime_ns, local.st_size


def exists(path: StrPath) -> bool:
    """Whether there is such a file."""
    return tf.io.gfile.exists(path)


def read_bytes(path: StrPath) -> bytes:
    """All of a file."""
    with tf.io.gfile.GFile(path, "rb") as file:
        return file.read()
