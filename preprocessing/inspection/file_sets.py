"""The files of a folder that belong together: names that differ in their numbers alone are one log."""

from __future__ import annotations

import collections
import functools
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.config import join_path
from preprocessing.logs.arrow_rows import records_of
from preprocessing.logs.documents import Document
from preprocessing.logs.read_blocks import COMPRESSED, PARQUET, blocks, spans
from preprocessing.logs.records import Excluded, Rejected
from preprocessing.logs.sources import TEXT_ENDINGS
from preprocessing.logs.ubi import load

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
    try:
        matched = [file for result in FileSystems.match(below) for file in result.metadata_list]
    except Exception as error:  # each filesystem has its own kinds of failure
        raise UserError(f"cannot list {folder}: {error}") from None
    root = folder.rstrip("/") + "/"
    sets = collections.defaultdict(list)
    for file in sorted(matched, key=lambda file: file.path):
        name = file.path.removeprefix(root)
        plain = functools.reduce(str.removesuffix, COMPRESSED, name)
        hidden = any(step.startswith((".", "_")) for step in name.split("/"))
        if not hidden and (name.endswith(PARQUET) or plain.endswith(TEXT_ENDINGS)):
            sets[_NUMBER.sub("*", name)].append(file)
    if not sets:
        endings = ", ".join((*TEXT_ENDINGS, PARQUET))
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
        try:
            for raw in itertools.islice(_records(path), -(-count // len(chosen))):
                _take(raw, taken)
        except (OSError, ValueError) as error:
            raise UserError(f"cannot read {path}: {error}") from None
    return taken


def _records(path: str) -> Iterator[Any]:
    for span in spans(path):
        for block in blocks(span):
            yield from records_of(block)


def _take(raw: Any, taken: Sample) -> None:
    try:
        taken.documents.append(load(raw))
    except (Rejected, Excluded) as reason:
        taken.unreadable[str(reason)] += 1
