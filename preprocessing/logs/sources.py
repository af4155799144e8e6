"""Finds the raw files and looks into them: JSON Lines (plain, gzip, bzip2) and Parquet, on any filesystem of Beam's."""

from __future__ import annotations

import functools
import itertools
import os
import posixpath
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.config import join_path
from preprocessing.logs.arrow_rows import records_of
from preprocessing.logs.documents import Document
from preprocessing.logs.read_blocks import COMPRESSED, PARQUET, ReadBlocks, blocks, spans
from preprocessing.logs.records import Excluded, Rejected

TEXT_ENDINGS = (".jsonl", ".ndjson", ".json", ".tsv")
_SNIFFED = 200
_WILD = re.compile(r"[*?\[\]]")


class Source(NamedTuple):
    """One stream's files."""

    stream: str
    paths: tuple[str, ...]
    size: int  # bytes, a compressed file counted as it will unfold
    root: str = ""  # the folder below which its files were looked for


def find(stream: str, folder: str, pattern: str) -> Source:
    """Matches a stream's files; a wrong path or an unknown kind is the user's to mend."""
    path = join_path(folder, pattern)
    files = _matched(stream, path)
    if not files:
        raise UserError(f"{stream}: no file matches {path}; check --input and preprocessing.input in the config")
    for file in files:
        if _WILD.search(file.path):
            raise UserError(f"{stream}: {file.path} has a wildcard in its name; rename it, or Beam reads others for it")
        plain = functools.reduce(str.removesuffix, COMPRESSED, file.path)
        if not file.path.endswith(PARQUET) and not plain.endswith(TEXT_ENDINGS):
            endings = ", ".join((*TEXT_ENDINGS, *COMPRESSED))
            raise UserError(f"{stream}: {file.path} is neither JSON Lines ({endings}) nor {PARQUET}")
    if len({file.path.endswith(PARQUET) for file in files}) > 1:
        raise UserError(f"{stream}: {path} matches both Parquet and JSON Lines; narrow the pattern")
    size = sum(file.size_in_bytes * (8 if file.path.endswith(COMPRESSED) else 1) for file in files)
    return Source(stream, tuple(file.path for file in files), size, _root(path))


def has_files(stream: str, folder: str, pattern: str) -> bool:
    """Whether a stream is there at all."""
    return bool(_matched(stream, join_path(folder, pattern)))


def _matched(stream: str, path: str) -> list[FileMetadata]:
    try:
        matched: list[FileMetadata] = FileSystems.match([path])[0].metadata_list
    except Exception as error:  # each filesystem has its own kinds of failure
        raise UserError(f"{stream}: cannot list {path}: {error}") from None
    return sorted((file for file in matched if not file.path.endswith("/")), key=lambda file: file.path)


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


def sniff(source: Source, load: Callable[[Any], Document], parse: Callable[[Document], Any]) -> None:
    """Reads the head of a stream, so that a wrong file or column map is told now and not after an hour."""
    reasons: list[str] = []
    seen: dict[str, None] = {}
    for raw in itertools.islice(_head(source), _SNIFFED):
        try:
            document = load(raw)
            seen.update(dict.fromkeys(map(str, document)))
            parse(document)
            return
        except Excluded:
            continue
        except Rejected as reason:
            reasons.append(str(reason))
    path = source.paths[0]
    if not reasons:
        raise UserError(f"{source.stream}: {path} holds no usable record; the stream is empty or the wrong file")
    common = max(sorted(set(reasons)), key=reasons.count)
    found = f" (its fields: {', '.join(list(seen)[:12])})" if seen else ""
    raise UserError(
        f"{source.stream}: none of the first {len(reasons)} records of {path} can be read: {common}{found}; "
        "is it the right file, and does preprocessing.input name its columns?"
    )


def _head(source: Source) -> Iterator[Any]:
    path = source.paths[0]
    try:
        for span in spans(path):
            for block in blocks(span):
                yield from records_of(block)
    except (OSError, ValueError) as error:
        raise UserError(f"{source.stream}: cannot read {path}: {error}") from None


class Read(beam.PTransform):
    """Source -> blocks of its records."""

    def __init__(self, source: Source) -> None:
        super().__init__(f"Read {source.stream}")
        self._source = source

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        return root | beam.Create(self._source.paths) | ReadBlocks()
