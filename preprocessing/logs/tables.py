"""BigQuery as a source: Google's client looks at a table or a query, Beam's connector reads it."""

from __future__ import annotations

import hashlib
import importlib.util
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import apache_beam as beam
import orjson

from preprocessing.command.console import UserError
from preprocessing.config_input import LogPlace
from preprocessing.logs.read_blocks import Block

_NEEDED = ("apitools", "google.cloud.bigquery", "google.cloud.bigquery_storage_v1")
_STORED = ("TABLE", "SNAPSHOT", "CLONE", "MATERIALIZED_VIEW")  # kinds that can be read without a query
_HEAD = 500  # rows of a table that are looked at
_LEAST_ROWS, _MOST_ROWS = 64, 4_096  # of a block


class Table(NamedTuple):
    """One stream's table, or query."""

    stream: str
    name: str  # project.dataset.table; of a query its words
    is_query: bool
    size: int  # bytes of its records as plain JSON, of a query all that it reads
    version: str  # changes with what is in it
    fields: tuple[str, ...] | None  # those that are read; None: all
    head: tuple[Mapping[str, Any], ...]  # its first rows; of a query none, which would cost as much as all


def look(
    stream: str,
    place: LogPlace,
    project: str | None,
    columns: Sequence[str] | None = None,
    required: Mapping[str, str] | None = None,
) -> Table:
    """Looks at a table or a query, so that a mistake is told before the job begins.

    Args:
      stream: whose records it holds.
      place: says where it is.
      project: pays for queries; None: the one of the environment.
      columns: those that are read; None: all.
      required: columns that must be there, each with what to do where it is not.
    """
    _check_libraries(stream)
    from google.api_core.exceptions import GoogleAPICallError, RetryError
    from google.auth.exceptions import GoogleAuthError
    from google.cloud import bigquery

    name = place.bigquery or ""
    try:
        client = bigquery.Client(project=project)
        if place.is_table and not name.endswith("*"):
            return _table(client, stream, name, columns, required or {})
        query = _all_of(name, columns, required or {}) if place.is_table else name
        return _query(client, stream, query, columns, required or {})
    except (GoogleAPICallError, RetryError, GoogleAuthError, OSError, ValueError) as error:
        told = getattr(error, "message", None) or str(error) or type(error).__name__
        raise UserError(f"{stream}: BigQuery has no answer for {name}: {told}") from None


def _check_libraries(stream: str) -> None:
    for library in _NEEDED:
        try:
            found = importlib.util.find_spec(library) is not None
        except ModuleNotFoundError:  # of what it is a part of
            found = False
        if not found:
            raise UserError(f"{stream}: to read BigQuery, pip install 'multigrain[gcp]' ({library} is not there)")


def _table(client: Any, stream: str, name: str, columns: Sequence[str] | None, required: Mapping[str, str]) -> Table:
    table = client.get_table(name)
    if table.table_type not in _STORED:
        raise UserError(f"{stream}: {name} is a {table.table_type}, which is read by a query: SELECT * FROM `{name}`")
    fields = _fields(stream, name, table.schema, columns, required)
    tops = {field.partition(".")[0] for field in fields} if fields is not None else None
    chosen = [field for field in table.schema if tops is None or field.name in tops]
    rows = [dict(row.items()) for row in client.list_rows(table, selected_fields=chosen, max_results=_HEAD)]
    length = sum(len(orjson.dumps(row, default=repr)) + 1 for row in rows) / max(len(rows), 1)
    full = f"{table.project}.{table.dataset_id}.{table.table_id}"
    version = _digest(full, table.modified, table.num_rows, table.num_bytes)
    return Table(stream, full, False, round(length * table.num_rows), version, fields, tuple(rows))


def _all_of(name: str, columns: Sequence[str] | None, required: Mapping[str, str]) -> str:
    """A query for several tables; where all columns must be there, for these alone, since each is paid for."""
    chosen = "*" if columns is None or set(columns) - required.keys() else ", ".join(_tops(columns))
    return f"SELECT {chosen} FROM `{name}`"


def _query(client: Any, stream: str, query: str, columns: Sequence[str] | None, required: Mapping[str, str]) -> Table:
    from google.api_core.exceptions import GoogleAPICallError
    from google.cloud.bigquery import QueryJobConfig

    job = client.query(query, job_config=QueryJobConfig(dry_run=True, use_query_cache=False))
    fields = _fields(stream, query, job.schema, columns, required)
    marks: list[Any] = [query, job.total_bytes_processed]
    for reference in job.referenced_tables:
        try:
            table = client.get_table(reference)
        except GoogleAPICallError:  # several tables by one name, or one that may be asked and not looked at
            continue
        marks += [str(reference), table.modified, table.num_bytes]
    return Table(stream, query, True, int(job.total_bytes_processed or 0), _digest(*marks), fields, ())


def _digest(*marks: Any) -> str:
    return hashlib.sha256("\n".join(map(str, marks)).encode()).hexdigest()


def _tops(columns: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(column.partition(".")[0] for column in columns))


def _fields(
    stream: str, name: str, schema: Sequence[Any], columns: Sequence[str] | None, required: Mapping[str, str]
) -> tuple[str, ...] | None:
    """The columns that are there; of those that must be, one that is not is a mistake."""
    there = set(_paths(schema))
    for column, mend in required.items():
        if column not in there:
            known = ", ".join(field.name for field in schema[:20])
            raise UserError(f"{stream}: {name} has no field {column!r}: {mend}; its fields: {known}")
    return tuple(dict.fromkeys(column for column in columns if column in there)) if columns is not None else None


def _paths(schema: Collection[Any], before: str = "") -> Iterator[str]:
    for field in schema:
        yield f"{before}{field.name}"
        yield from _paths(field.fields, f"{before}{field.name}.")


class ReadTable(beam.PTransform):
    """A table or a query -> blocks of its rows, by Beam's connector."""

    def __init__(self, table: Table, method: str) -> None:
        super().__init__(f"Read {table.stream}")
        self._table = table
        self._method = method

    def expand(self, root: beam.pvalue.PBegin) -> beam.PCollection:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from apache_beam.io.gcp.bigquery import ReadFromBigQuery

        table, what = self._table, {}
        if table.is_query:
            what = {"query": table.name, "use_standard_sql": True}
        else:
            project, dataset, name = table.name.rsplit(".", 2)
            what = {"project": project, "dataset": dataset, "table": name}
        if self._method == ReadFromBigQuery.Method.DIRECT_READ and table.fields is not None:
            what["selected_fields"] = list(table.fields)
        batches = beam.BatchElements(min_batch_size=_LEAST_ROWS, max_batch_size=_MOST_ROWS)
        source = "a query" if table.is_query else table.name
        return (
            root
            | ReadFromBigQuery(method=self._method, **what)
            | batches
            | "Blocks" >> beam.Map(lambda rows: Block(source, 0, rows))
        )
