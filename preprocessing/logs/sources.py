"""Finds the raw files and reads them: JSON Lines (plain or gzip) and Parquet, from any filesystem Beam knows."""

from __future__ import annotations

import gzip
import itertools
import os
import posixpath
import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import apache_beam as beam
import pyarrow.parquet
from apache_beam.coders import BytesCoder
from apache_beam.io.filesystem import CompressionTypes, FileMetadata
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.config import join_path
from preprocessing.logs.documents import Document
from preprocessing.logs.records import Excluded, Rejected

TEXT_ENDINGS = (".jsonl", ".ndjson", ".json", ".tsv")
_SNIFFED = 200
_WILD = re.compile(r"[*?\[\]]")
_SPLIT = 16 << 20  # bytes of a text file that are read in one go: workers share even one file


class Source(NamedTuple):
    """One stream's files."""

    stream: str
    paths: tuple[str, ...]
    size: int  # bytes, gzip counted as it will unfold
    root: str = ""  # the folder below which its files were looked for

    @property
    def parquet(self) -> bool:
        """Whether the files are Parquet; a stream is of one kind."""
        return self.paths[0].endswith(".parquet")


def find(stream: str, folder: str, pattern: str) -> Source:
    """Matches a stream's files; a wrong path or an unknown kind is the user's to mend."""
    path = join_path(folder, pattern)
    try:
        matched: list[FileMetadata] = FileSystems.match([path])[0].metadata_list
    except Exception as error:  # each filesystem has its own kinds of failure
        raise UserError(f"{stream}: cannot list {path}: {error}") from None
    files = sorted((file for file in matched if not file.path.endswith("/")), key=lambda file: file.path)
    if not files:
        raise UserError(f"{stream}: no file matches {path}; check --input and preprocessing.input in the config")
    for file in files:
        if _WILD.search(file.path):
            raise UserError(f"{stream}: {file.path} has a wildcard in its name; rename it, or Beam reads others for it")
        plain = file.path.removesuffix(".gz")
        if not file.path.endswith(".parquet") and not plain.endswith(TEXT_ENDINGS):
            raise UserError(
                f"{stream}: {file.path} is neither JSON Lines ({', '.join(TEXT_ENDINGS)}, .gz) nor .parquet"
            )
    if len({file.path.endswith(".parquet") for file in files}) > 1:
        raise UserError(f"{stream}: {path} matches both Parquet and JSON Lines; narrow the pattern")
    size = sum(file.size_in_bytes * (8 if file.path.endswith(".gz") else 1) for file in files)
    return Source(stream, tuple(file.path for file in files), size, _root(path))


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
        with FileSystems.open(path) as file:
            if source.parquet:
                for batch in pyarrow.parquet.ParquetFile(file).iter_batches(batch_size=_SNIFFED):
                    yield from batch.to_pylist()
            else:
                lines = (line.strip() for line in iter(file.readline, b""))  # a compressed file is not iterable
                yield from filter(None, lines)
    except Exception as error:
        raise UserError(f"{source.stream}: cannot read {path}: {error}") from None


def still_there(path: str) -> str:
    """The path; Beam's readers take a file that is gone for one without a record."""
    if not FileSystems.exists(path):
        raise OSError(f"{path}: it was there when the job began, and is gone")
    return path


class Read(beam.PTransform):
    """Source -> (path, lines as bytes, or an Arrow table)."""

    def __init__(self, source: Source) -> None:
        super().__init__(f"Read {source.stream}")
        self._source = source

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        if self._source.parquet:
            paths = root | beam.Create(self._source.paths) | "Still there" >> beam.Map(still_there)
            return paths | beam.io.ReadAllFromParquetBatched(with_filename=True)
        plain = [path for path in self._source.paths if not path.endswith(".gz")]
        zipped = [path for path in self._source.paths if path.endswith(".gz")]
        lines = (
            root
            | "Plain files" >> beam.Create(plain)
            | "Still there" >> beam.Map(still_there)
            | beam.io.ReadAllFromText(coder=BytesCoder(), with_filename=True, desired_bundle_size=_SPLIT)
        )
        unzipped = root | "Gzip files" >> beam.Create(zipped) | beam.ParDo(ReadGzip())
        return (lines, unzipped) | beam.Flatten()


class ReadGzip(beam.DoFn):
    """path -> (path, line); Beam's own reader takes a file that breaks off for a whole one."""

    def process(self, path: str) -> Iterator[tuple[str, bytes]]:
        try:
            with (
                FileSystems.open(path, compression_type=CompressionTypes.UNCOMPRESSED) as raw,
                gzip.GzipFile(fileobj=raw) as file,
            ):
                for line in file:
                    yield path, line.rstrip(b"\r\n")
        except (EOFError, OSError, zlib.error) as error:
            raise OSError(f"{path}: {error}") from error
