"""What a preprocessing run left behind, in a form in which two runs can be compared."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Hashable, Iterator
from pathlib import Path

import tensorflow as tf

Contents = dict[str, Counter[Hashable]]  # file -> its records, with how often each occurs


def contents(data: Path) -> Contents:
    """Every record of every file; their order within a file is left aside."""
    files = (path for path in sorted(data.rglob("*")) if path.is_file())
    return {str(path.relative_to(data)): Counter(_records(path)) for path in files}


def _records(path: Path) -> Iterator[Hashable]:
    if path.name.endswith(".tfrecord.gz"):
        yield from tf.data.TFRecordDataset(str(path), compression_type="GZIP").as_numpy_iterator()
    elif path.suffix == ".json":
        yield json.dumps(json.loads(path.read_text()), sort_keys=True)
    elif path.parent.name == "vocab":
        yield from enumerate(path.read_text().splitlines())  # here the order is the meaning
    else:
        yield from path.read_text().splitlines()


def differences(expected: Contents, found: Contents) -> list[str]:
    """One line a file that is not the same."""
    lines = []
    for name in sorted(expected.keys() | found.keys()):
        if name not in found or name not in expected:
            lines.append(f"{name}: only in the {'expected' if name in expected else 'found'} output")
            continue
        lost, surplus = expected[name] - found[name], found[name] - expected[name]
        if lost or surplus:
            example = str(next(iter(lost or surplus)))[:200]
            lines.append(f"{name}: {lost.total()} records lost, {surplus.total()} too many, such as {example}")
    return lines
