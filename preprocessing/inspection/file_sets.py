"""The files of a folder that belong together: names that differ in their numbers alone are one log."""

from __future__ import annotations

import collections
import itertools
import re
from collections.abc import Sequence
from typing import Any, NamedTuple

from preprocessing.command.console import UserError
from preprocessing.config import join_path
from preprocessing.logs.avro_blocks import AVRO
from preprocessing.logs.documents import Document
from preprocessing.logs.read_blocks import PARQUET
from preprocessing.logs.records import Excluded, Rejected
from preprocessing.logs.sources import TEXT_ENDINGS, is_log, matched, records_in
from preprocessing.logs.ubi import load

_WHAT = "logs"  # as mistakes call them
_DEPTH = 4  # folders below the given one that are looked into
_FILES = 8  # of a set, spread over it, that are read
_NUMBER = re.compile(r"\d+(?:[-_.T:]\d+)*")


class FileSet(NamedTuple):
    """Files of one log."""

    pattern: str  # below the folder
    paths: tuple[str, ...]
    size: int  # bytes on disk


class Sample(NamedTuple):
    """What was read of a set."""

    documents: list[Document]
    unreadable: collections.Counter[str]  # by reason


def file_sets(folder: str) -> list[FileSet]:
    """The sets below a folder, by pattern."""
    below = [join_path(folder, "/".join("*" * depth)) for depth in range(1, _DEPTH + 1)]
    root = folder.rstrip("/") + "/"
    sets = collections.defaultdict(list)
    for file in (file for pattern in below for file in matched(_WHAT, pattern)):
        name = file.path.removeprefix(root)
        if is_log(name) and not any(step.startswith((".", "_")) for step in name.split("/")):
            sets[_NUMBER.sub("[0-9]*", name)].append(file)
    if not sets:
        endings = ", ".join((*TEXT_ENDINGS, PARQUET, AVRO))
        raise UserError(f"{folder}: no log in it, down to {_DEPTH} folders; files of these endings are read: {endings}")
    return [_file_set(root, pattern, files) for pattern, files in sorted(sets.items())]


def _file_set(root: str, pattern: str, files: Sequence[Any]) -> FileSet:
    paths = tuple(file.path for file in files)
    name = pattern if len(files) > 1 else paths[0].removeprefix(root)
    return FileSet(name, paths, sum(file.size_in_bytes for file in files))


def sample(files: FileSet, count: int) -> Sample:
    """The heads of some of its files, at most `count` records in all."""
    taken = Sample([], collections.Counter())
    step = -(-len(files.paths) // _FILES)
    chosen = files.paths[::step]
    for path in chosen:
        for raw in itertools.islice(records_in(_WHAT, path), -(-count // len(chosen))):
            _take(raw, taken)
    return taken


def _take(raw: Any, taken: Sample) -> None:
    try:
        taken.documents.append(load(raw))
    except (Rejected, Excluded) as reason:
        taken.unreadable[str(reason)] += 1
