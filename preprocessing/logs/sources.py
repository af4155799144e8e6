"""Finds the raw files and looks into them: JSON Lines (plain or compressed), Parquet and Avro, wherever Beam reads."""

from __future__ import annotations

import collections
import functools
import itertools
import math
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.config import join_path
from preprocessing.logs.arrow_rows import records_of
from preprocessing.logs.avro_blocks import AVRO
from preprocessing.logs.documents import Document
from preprocessing.logs.raw_size import growth
from preprocessing.logs.read_blocks import COMPRESSED, PARQUET, ReadBlocks, blocks, spans
from preprocessing.logs.records import Excluded, Rejected

TEXT_ENDINGS = (".jsonl", ".ndjson", ".json", ".tsv")
_SNIFFED = 200
_WILD = re.compile(r"[*?\[\]]")


class Source(NamedTuple):
    """One stream's files."""

    stream: str
    paths: tuple[str, ...]
    size: int  # bytes of its records as plain JSON
    root: str = ""  # the folder below which its files were looked for
    columns: tuple[str, ...] | None = None  # those of a Parquet file that are read; None: all


def find(stream: str, folder: str, pattern: str, columns: tuple[str, ...] | None = None) -> Source:
    """Matches a stream's files; a wrong path or an unknown kind is the user's to mend."""
    path = join_path(folder, pattern)
    files = matched(stream, path)
    if not files:
        raise UserError(f"{stream}: no file matches {path}; check --input and preprocessing.input in the config")
    for file in files:
        if _WILD.search(file.path):
            raise UserError(f"{stream}: {file.path} has a wildcard in its name; rename it, or Beam reads others for it")
        if not is_log(file.path):
            endings = ", ".join((*TEXT_ENDINGS, *COMPRESSED))
            raise UserError(f"{stream}: {file.path} is neither JSON Lines ({endings}) nor {PARQUET} nor {AVRO}")
    kinds = sorted({_kind(file.path) for file in files})
    if len(kinds) > 1:
        raise UserError(f"{stream}: {path} matches both {kinds[0]} and {kinds[1]}; narrow the pattern")
    return Source(stream, tuple(file.path for file in files), _plain_size(files, columns), _root(path), columns)


def _plain_size(files: Sequence[FileMetadata], columns: Sequence[str] | None) -> int:
    """Bytes of all records as plain JSON: of the files of one ending the largest tells what a byte holds."""
    by_ending: dict[str, list[FileMetadata]] = collections.defaultdict(list)
    for file in files:
        by_ending[posixpath.splitext(file.path)[1]].append(file)
    size = 0.0
    for alike in by_ending.values():
        largest = max(alike, key=lambda file: file.size_in_bytes)
        bytes_on_disk = sum(file.size_in_bytes for file in alike)
        size += bytes_on_disk * growth(largest.path, largest.size_in_bytes, columns)
    return math.ceil(size)


def _kind(path: str) -> str:
    return "Parquet" if path.endswith(PARQUET) else "Avro" if path.endswith(AVRO) else "JSON Lines"


def is_log(path: str) -> bool:
    """Whether a file is of a kind that is read, by its name."""
    return path.endswith((PARQUET, AVRO)) or functools.reduce(str.removesuffix, COMPRESSED, path).endswith(TEXT_ENDINGS)


def has_files(stream: str, folder: str, pattern: str) -> bool:
    """Whether a stream is there at all."""
    return bool(matched(stream, join_path(folder, pattern)))


def matched(stream: str, path: str) -> list[FileMetadata]:
    """The files of a pattern, by path."""
    try:
        files: list[FileMetadata] = FileSystems.match([path])[0].metadata_list
    except Exception as error:  # each filesystem has its own kinds of failure
        raise UserError(f"{stream}: cannot list {path}: {error}") from None
    return sorted((file for file in files if not file.path.endswith("/")), key=lambda file: file.path)


def _root(pattern: str) -> str:
    """The part of a pattern's path that comes before its first wildcard."""
    steps = pattern.split("/")[:-1]
    wild = [place for place, step in enumerate(steps) if _WILD.search(step)]
    return "/".join(steps[: wild[0]] if wild else steps) or "/"


def refuse_inside(output: str, sources: Iterable[Source]) -> None:
    """An output that is, holds or lies in the folder of a source would be read as raw logs, or replace them."""
    place = _steps(output)
    for source in sources:
        for path in (source.root, *source.paths):
            other = _steps(path)
            if place == other[: len(place)] or (path == source.root and other == place[: len(other)]):
                raise UserError(
                    f"--output {output} and the raw logs of {source.stream} ({path}) lie in one another; "
                    "name a folder beside them"
                )


def _steps(path: str) -> list[str]:
    """A path's steps from its bucket or its disk's root, links followed."""
    scheme, mark, rest = path.partition("://")
    plain = posixpath.normpath(rest) if mark else os.path.realpath(path)
    return [scheme if mark else "", *filter(None, plain.split("/"))]


def sniff(
    stream: str, path: str, records: Iterable[Any], load: Callable[[Any], Document], parse: Callable[[Document], Any]
) -> None:
    """Reads the head of a stream's file or table, so that a wrong column map is told now and not after an hour."""
    reasons: list[str] = []
    seen: dict[str, None] = {}
    for raw in itertools.islice(records, _SNIFFED):
        try:
            document = load(raw)
            seen.update(dict.fromkeys(map(str, document)))
            parse(document)
            return
        except Excluded:
            continue
        except Rejected as reason:
            reasons.append(str(reason))
    if not reasons:
        raise UserError(f"{stream}: {path} holds no usable record; the stream is empty or the wrong file")
    common = max(sorted(set(reasons)), key=reasons.count)
    found = f" (its fields: {', '.join(list(seen)[:12])})" if seen else ""
    raise UserError(
        f"{stream}: none of the first {len(reasons)} records of {path} can be read: {common}{found}; "
        "is it the right file, and does preprocessing.input name its columns?"
    )


def records_in(stream: str, path: str) -> Iterator[Any]:
    """The records of a file, each a line or a dict."""
    try:
        for span in spans(path):
            for block in blocks(span):
                yield from records_of(block)
    except (OSError, ValueError) as error:
        raise UserError(f"{stream}: cannot read {path}: {error}") from None


class Read(beam.PTransform):
    """Source -> blocks of its records."""

    def __init__(self, source: Source) -> None:
        super().__init__(f"Read {source.stream}")
        self._source = source

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        return root | beam.Create(self._source.paths) | ReadBlocks(self._source.columns)
