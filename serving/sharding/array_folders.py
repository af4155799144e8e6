"""Arrays between workers: a folder of them, there whole or not at all, read by mapping."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

_BYTES, _ENDS = ".bytes", ".ends"  # of an array of strings, which no file of numpy's can map
_NUMBERS = "numbers.json"
Arrays = dict[str, np.ndarray]


@contextlib.contextmanager
def made_whole(path: Path) -> Iterator[Path]:
    """A folder to fill, which is at `path` once it is full; two that make the same one do not disturb each other."""
    aside = path.with_name(f"{path.name}.{secrets.token_hex(4)}.part")
    aside.mkdir(parents=True)
    try:
        yield aside
        with contextlib.suppress(OSError):  # another attempt was quicker, and made the same
            os.rename(aside, path)
        if not path.is_dir():
            raise OSError(f"{path} could not be put in place")
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray], **numbers: Any) -> None:
    """Writes arrays by name, of numbers or of bytes, and what else JSON can hold."""
    with made_whole(path) as aside:
        for name, array in arrays.items():
            save_array(aside, name, array)
        (aside / _NUMBERS).write_text(json.dumps(numbers))


def save_array(folder: Path, name: str, array: np.ndarray) -> None:
    """Writes one array into a folder."""
    if array.dtype != object:
        np.save(folder / f"{name}.npy", array)
        return
    strings = array.tolist()
    np.save(folder / f"{name}{_BYTES}.npy", np.frombuffer(b"".join(strings), np.uint8))
    np.save(folder / f"{name}{_ENDS}.npy", np.cumsum([0, *map(len, strings)], dtype=np.int64))


def read_array(path: Path, name: str) -> np.ndarray:
    """One array; of numbers it is mapped from its file, and a change of it stays in memory."""
    if (path / f"{name}.npy").exists():
        return np.load(path / f"{name}.npy", mmap_mode="c")
    content = np.load(path / f"{name}{_BYTES}.npy").tobytes()
    ends = np.load(path / f"{name}{_ENDS}.npy").tolist()
    found = np.empty(len(ends) - 1, object)
    found[:] = [content[begin:end] for begin, end in itertools.pairwise(ends)]
    return found


def read_numbers(path: Path) -> dict[str, Any]:
    """What was written beside the arrays."""
    return json.loads((path / _NUMBERS).read_text())
