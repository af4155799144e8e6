"""Reads a published table row by row: JSON Lines, CSV, TSV or Parquet; a wrong file is told with its line."""

from __future__ import annotations

import csv
import gzip
import itertools
import zlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TextIO

import orjson
import pyarrow
import pyarrow.parquet

from preprocessing.command.console import UserError, nearest

JSON_ENDINGS = (".jsonl", ".ndjson", ".json")
_BATCH = 8_192
csv.field_size_limit(1 << 24)  # a description may be long; the default is 128 KiB


class Row(NamedTuple):
    """One record, and where it stands."""

    path: Path
    number: int  # from 1; of a text file its line, of Parquet its row
    fields: Mapping[str, Any]

    def wrong(self, problem: str) -> NoReturn:
        """Ends the command: the file, the line and what is wrong there."""
        raise UserError(f"{self.path} line {self.number}: {problem}")

    def value(self, name: str) -> Any:
        """A field that must be there."""
        value = self.fields.get(name)
        if value is None:
            known = ", ".join(str(one) for one in self.fields)
            self.wrong(f"no field {name!r}; its fields: {known or 'none'}")
        return value

    def identifier(self, name: str) -> str:
        """An id: a string or a whole number, on one line."""
        value = self.value(name)
        if isinstance(value, bool) or not isinstance(value, str | int):
            self.wrong(f"{name} is {value!r}, expected a string or a whole number")
        text = str(value).strip()
        if not text or len(text.splitlines()) > 1:
            self.wrong(f"{name} is {value!r}, expected an id on one line")
        return text

    def text(self, name: str) -> str:
        """A text, white space folded; empty where it is absent."""
        value = self.fields.get(name)
        if value is None or value != value:  # a NaN is how some writers of Parquet say "absent"
            return ""
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            self.wrong(f"{name} is {value!r}, expected a text")
        return " ".join(str(value).split())

    def number_in(self, name: str) -> float:
        """A finite number, also where the table holds texts."""
        value = self.value(name)
        try:
            number = float(value) if not isinstance(value, bool) else float("nan")
        except (TypeError, ValueError):
            number = float("nan")
        if number - number != 0:
            self.wrong(f"{name} is {value!r}, expected a number")
        return number


def existing(path: Path, flag: str) -> Path:
    """The path of a file that must be there; `flag` is what the user called it."""
    if not path.is_file():
        raise UserError(f"{flag} {path}: {'is a folder, expected a file' if path.is_dir() else 'no such file'}")
    return path


def in_folder(folder: Path, names: Collection[str], kind: str) -> Path:
    """The first of `names` that the folder has, plain or as .gz."""
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; {kind} is read from the folder as published")
    for name in names:
        for path in (folder / name, folder / f"{name}.gz"):
            if path.is_file():
                return path
    raise UserError(f"{folder} has no {' or '.join(names)}; {kind} is read from the folder as published")


def rows(path: Path, columns: Collection[str] = ()) -> Iterator[Row]:
    """Every record of a table; of Parquet only `columns`, where some are named."""
    name = path.name.removesuffix(".gz")
    try:
        if path.suffix == ".parquet":
            yield from _parquet(path, columns)
        elif name.endswith(JSON_ENDINGS):
            yield from _json_lines(path)
        elif name.endswith((".csv", ".tsv")):
            yield from delimited(path, "\t" if name.endswith(".tsv") else ",")
        else:
            raise UserError(f"{path}: neither {', '.join(JSON_ENDINGS)}, .csv, .tsv (each also .gz) nor .parquet")
    except (OSError, EOFError, zlib.error, pyarrow.ArrowException) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def delimited(path: Path, separator: str, quoted: bool = True) -> Iterator[Row]:
    """The rows of a table with a header; a short row lacks its last fields."""
    with open_text(path) as file:
        reader = csv.reader(file, delimiter=separator, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
        try:
            header = [name.strip() for name in next(reader, [])]
            for values in reader:
                if not values:
                    continue
                row = Row(path, reader.line_num, dict(zip(header, values, strict=False)))
                if len(values) > len(header):
                    row.wrong(f"{len(values)} fields, the header has {len(header)}")
                yield row
        except (csv.Error, UnicodeDecodeError) as error:
            raise UserError(f"{path} after line {reader.line_num}: {error}") from None


def open_text(path: Path, encoding: str = "utf-8-sig") -> TextIO:
    """A text file, plain or gzip."""
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return open(path, encoding=encoding, newline="")


def lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, plain or gzip, as they are."""
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else open(path, "rb") as file:
            yield from file
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: cannot be read: {error}") from None


def _json_lines(path: Path) -> Iterator[Row]:
    for number, line in enumerate(lines(path), 1):
        if not line.strip():
            continue
        try:
            fields = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            raise UserError(f"{path} line {number}: not JSON: {error}; expected one object a line") from None
        if not isinstance(fields, dict):
            raise UserError(f"{path} line {number}: a {type(fields).__name__}, expected one JSON object a line")
        yield Row(path, number, fields)


def _parquet(path: Path, columns: Collection[str]) -> Iterator[Row]:
    with pyarrow.parquet.ParquetFile(path) as file:
        there = file.schema_arrow.names
        for name in columns:
            if name not in there:
                raise UserError(f"{path}: no column {name!r}{nearest(name, there)}")
        batches = file.iter_batches(batch_size=_BATCH, columns=list(columns) or None)
        records = itertools.chain.from_iterable(batch.to_pylist() for batch in batches)
        for number, fields in enumerate(records, 1):
            yield Row(path, number, fields)


def renamed(table: Iterator[Row], columns: Mapping[str, str]) -> Iterator[Row]:
    """The rows under our field names; `columns` maps ours to theirs."""
    if not columns:
        yield from table
        return
    for row in table:
        yield row._replace(fields={**row.fields, **{ours: row.fields.get(their) for ours, their in columns.items()}})


def column_map(flag: str, text: str, known: Collection[str]) -> dict[str, str]:
    """Reads `ours=theirs,...`.

    >>> column_map("--columns", "title=name", ["title"])
    {'title': 'name'}
    """
    columns = {}
    for part in filter(None, text.split(",")):
        ours, equals, theirs = (one.strip() for one in part.partition("="))
        if not equals or not theirs:
            raise UserError(f"{flag} {part}: expected ours=theirs, as in title=name")
        if ours not in known:
            raise UserError(f"{flag} {part}: unknown field {ours!r}{nearest(ours, known)}")
        columns[ours] = theirs
    return columns
