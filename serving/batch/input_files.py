"""The files that a batch job reads: JSON Lines, Parquet, or the catalogue of a data folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystem import FileMetadata
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.data.features import PRICE_VALUE, VECTOR
from preprocessing.logs.documents import loader, renamer
from preprocessing.logs.read_blocks import Block, ReadBlocks
from preprocessing.logs.records import Rejected
from preprocessing.logs.sources import TEXT_ENDINGS, Source
from serving.inputs import CATALOG_COLUMNS, ITEM_PRICE

TEXT, PARQUET, TFRECORD = "JSON Lines", "Parquet", "TFRecords"
_CATALOG = "catalog-*.tfrecord.gz"
Load = Callable[[Any], Mapping[str, Any]]


def find(path: str) -> Source:
    """The files of `--input`: a file, a pattern, or a folder of preprocessing.pipeline."""
    files = _match(path) or _match(FileSystems.join(path, _CATALOG))
    if not files:
        raise UserError(f"--input {path}: no such file, no file matches it, and no {_CATALOG} is in it")
    kinds = {kind_of(file.path) for file in files}
    if len(kinds) > 1:
        raise UserError(f"--input {path} matches {' and '.join(sorted(kinds))}; name files of one kind")
    size = sum(file.size_in_bytes * (8 if file.path.endswith(".gz") else 1) for file in files)
    return Source("input", tuple(sorted(file.path for file in files)), size)


def _match(path: str) -> list[FileMetadata]:
    try:
        found = FileSystems.match([path])[0].metadata_list
    except ValueError:
        raise UserError(
            f"--input {path}: nothing here reads such paths; for gs:// pip install multigrain[gcp]"
        ) from None
    except Exception as error:  # each filesystem has its own kinds of failure
        raise UserError(f"--input {path} cannot be listed: {error}") from None
    folders = (one for one in found if one.path.rstrip("/") == path.rstrip("/") and not _named(one.path))
    skipped = {one.path for one in folders}
    return [one for one in found if one.path not in skipped]


def _named(path: str) -> bool:
    return path.removesuffix(".gz").endswith((*TEXT_ENDINGS, ".parquet", ".tfrecord"))


def kind_of(path: str) -> str:
    """What a file's name says that it is."""
    plain = path.removesuffix(".gz")
    if path.endswith(".parquet"):
        return PARQUET
    if plain.endswith(".tfrecord"):
        return TFRECORD
    if plain.endswith(TEXT_ENDINGS) and not plain.endswith(".tsv"):
        return TEXT
    raise UserError(f"--input {path} is neither JSON Lines (.jsonl, .jsonl.gz), nor .parquet, nor .tfrecord.gz")


class ReadRows(beam.PTransform):
    """Source -> blocks of lines, Examples or rows of Arrow."""

    def __init__(self, source: Source) -> None:
        super().__init__("Read")
        self._source = source

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        kind, paths = kind_of(self._source.paths[0]), root | "Files" >> beam.Create(self._source.paths)
        if kind != TFRECORD:
            return paths | ReadBlocks()
        records = paths | beam.io.ReadAllFromTFRecord(with_filename=True)
        return records | "One by one" >> beam.MapTuple(lambda path, record: Block(path, 0, [record]))


def document_loader(source: Source, columns: Mapping[str, str]) -> Load:
    """What turns a line, a row of a table or an Example into a document."""
    kind = kind_of(source.paths[0])
    if kind == TFRECORD:
        return _Examples()
    return renamer(columns) if kind == PARQUET else loader(columns)


class _Examples:
    """Catalogue records of preprocessing.pipeline."""

    def __call__(self, record: bytes) -> Mapping[str, Any]:
        import tensorflow as tf  # for workers alone: whoever builds a job starts seconds sooner without it
        from google.protobuf.message import DecodeError

        try:
            features = tf.train.Example.FromString(record).features.feature
            values = {name: features[column].bytes_list.value for name, column in CATALOG_COLUMNS.items()}
            texts = {name: value[0].decode() for name, value in values.items() if value}
            priced = dict(zip([ITEM_PRICE], features[PRICE_VALUE].float_list.value, strict=False))
            return texts | priced | ({VECTOR: list(features[VECTOR].float_list.value)} if VECTOR in features else {})
        except (DecodeError, UnicodeDecodeError):
            raise Rejected("unparsable") from None
