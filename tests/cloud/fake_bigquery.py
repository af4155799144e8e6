"""BigQuery's two APIs over tables in memory, as far as Google's client and Beam's connector use them.

Tables, their first rows, and jobs come over HTTP, to which both clients are pointed; of the Storage Read API the client
is replaced, as Beam's own tests do. A query is known by its words, and answers with a table.
"""

from __future__ import annotations

import io
import json
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import parse_qs, urlsplit

import fastavro
import google.auth
import pytest
from google.auth.credentials import AnonymousCredentials

PROJECT = "shop-1"
_TABLE = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets/([^/]+)/tables/([^/]+)(/data)?")
_JOB = re.compile(r"/bigquery/v2/projects/([^/]+)/jobs/([^/]+)")
_JOBS = re.compile(r"/bigquery/v2/projects/([^/]+)/jobs")
_DATASET = re.compile(r"/bigquery/v2/projects/([^/]+)/datasets(?:/([^/]+))?")
_KINDS = {"string": "STRING", "long": "INTEGER", "double": "FLOAT", "boolean": "BOOLEAN"}
Export = Callable[[str, bytes], None]


class BigQuery:
    """The tables, by `project.dataset.table`, each an Avro file; queries, by their words, with their table."""

    def __init__(self, tables: dict[str, Path], queries: dict[str, str] | None = None) -> None:
        self.tables = tables
        self.queries = queries or {}
        self.kinds: dict[str, str] = {}  # of tables that are no plain ones
        self.modified = 1_717_900_000_000
        self.jobs: dict[str, dict[str, Any]] = {}
        self.sessions: list[tuple[str, list[str]]] = []  # (table, fields) of what was read
        self.export: Export | None = None  # (where, bytes): what an export writes

    def known(self, name: str) -> str | None:
        """The name of a table that is there; of a temporary one that of what it holds."""
        return name if name in self.tables else self.temporary.get(name)

    @property
    def temporary(self) -> dict[str, str]:
        """The tables that queries have written."""
        found = {}
        for job in self.jobs.values():
            query = job["configuration"].get("query")
            if query is not None and "destinationTable" in query:
                found[_full(query["destinationTable"])] = self.queries[query["query"]]
        return found

    def content(self, name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
        """(Avro schema, rows)."""
        with open(self.tables[name], "rb") as file:
            reader = fastavro.reader(file)
            return reader.writer_schema, list(reader)  # type: ignore[return-value, arg-type]

    def describe(self, name: str) -> dict[str, Any]:
        """As the API does."""
        known = self.known(name)
        assert known is not None
        schema, rows = self.content(known)
        project, dataset, table = name.split(".")
        return {
            "tableReference": {"projectId": project, "datasetId": dataset, "tableId": table},
            "type": self.kinds.get(name, "TABLE"),
            "schema": {"fields": _fields(schema)},
            "numRows": str(len(rows)),
            "numBytes": str(self.tables[known].stat().st_size),
            "lastModifiedTime": str(self.modified),
        }

    def run(self, project: str, job: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """A job, done at once."""
        configuration = job["configuration"]
        name = job.get("jobReference", {}).get("jobId") or f"job{len(self.jobs)}"
        done = {**job, "jobReference": {"projectId": project, "jobId": name}, "status": {"state": "DONE"}}
        query = configuration.get("query")
        if query is not None:
            if query["query"] not in self.queries:
                return 400, _error(400, f"Unrecognized name in {query['query']}")
            asked = self.describe(self.queries[query["query"]])
            said = {"schema": asked["schema"], "totalBytesProcessed": asked["numBytes"], "statementType": "SELECT"}
            said["referencedTables"] = [asked["tableReference"]]
            done["statistics"] = {"totalBytesProcessed": asked["numBytes"], "query": said}
            if configuration.get("dryRun"):
                return 200, done
        elif self.export is not None:
            source = self.known(_full(configuration["extract"]["sourceTable"]))
            assert source is not None
            (place,) = configuration["extract"]["destinationUris"]
            self.export(place.replace("*", "000"), self.tables[source].read_bytes())
        self.jobs[name] = done
        return 200, done


def _full(reference: dict[str, str]) -> str:
    return f"{reference['projectId']}.{reference['datasetId']}.{reference['tableId']}"


def _fields(schema: dict[str, Any]) -> list[dict[str, Any]]:
    return [_field(one["name"], one["type"]) for one in schema["fields"]]


def _field(name: str, kind: Any) -> dict[str, Any]:
    if isinstance(kind, list):
        return _field(name, next(one for one in kind if one != "null"))
    if isinstance(kind, str):
        return {"name": name, "type": _KINDS[kind], "mode": "NULLABLE"}
    if kind["type"] == "array":
        return {**_field(name, kind["items"]), "mode": "REPEATED"}
    if kind["type"] == "record":
        return {"name": name, "type": "RECORD", "mode": "NULLABLE", "fields": _fields(kind)}
    return {"name": name, "type": "TIMESTAMP" if "logicalType" in kind else _KINDS[kind["type"]], "mode": "NULLABLE"}


def _cell(value: Any, field: dict[str, Any]) -> dict[str, Any]:
    """A value as the API lists it."""
    if value is None:
        return {"v": None}
    if field["mode"] == "REPEATED":
        return {"v": [_cell(one, {**field, "mode": "NULLABLE"}) for one in value]}
    if field["type"] == "RECORD":
        return {"v": {"f": [_cell(value.get(one["name"]), one) for one in field["fields"]]}}
    if field["type"] == "TIMESTAMP":
        return {"v": str(round(value.timestamp() * 1_000_000))}
    return {"v": str(value)}


def _error(status: int, message: str) -> dict[str, Any]:
    return {"error": {"code": status, "message": message, "errors": [{"reason": "invalid", "message": message}]}}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def log_message(self, *_: object) -> None:
        pass

    def _answer(self, status: int, content: dict[str, Any]) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self) -> None:
        address, bigquery = urlsplit(self.path), self.server.bigquery
        if table := _TABLE.fullmatch(address.path):
            name = ".".join(table.groups()[:3])  # type: ignore[arg-type]
            if bigquery.known(name) is None:
                self._answer(404, _error(404, f"Not found: Table {name}"))
            elif table[4]:
                self._answer(200, self._rows(name, parse_qs(address.query)))
            else:
                self._answer(200, bigquery.describe(name))
        elif (job := _JOB.fullmatch(address.path)) and job[2] in bigquery.jobs:
            self._answer(200, bigquery.jobs[job[2]])
        elif (dataset := _DATASET.fullmatch(address.path)) and dataset[2] is None:
            self._answer(200, {"datasets": []})  # none that a read has left over
        else:
            self._answer(404, _error(404, f"Not found: {address.path}"))

    def _rows(self, name: str, asked: dict[str, list[str]]) -> dict[str, Any]:
        schema, rows = self.server.bigquery.content(name)
        chosen = asked["selectedFields"][0].split(",") if "selectedFields" in asked else None
        fields = [field for field in _fields(schema) if chosen is None or field["name"] in chosen]
        most = int(asked["maxResults"][0])
        listed = [{"f": [_cell(row[field["name"]], field) for field in fields]} for row in rows[:most]]
        return {"totalRows": str(len(rows)), "rows": listed}

    def do_POST(self) -> None:
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        path = urlsplit(self.path).path
        if jobs := _JOBS.fullmatch(path):
            self._answer(*self.server.bigquery.run(jobs[1], content))
        elif _DATASET.fullmatch(path):
            self._answer(200, content)
        else:
            self._answer(404, _error(404, f"Not found: {path}"))

    def do_DELETE(self) -> None:
        self._answer(200, {})


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, bigquery: BigQuery) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.bigquery = bigquery


def _reader(bigquery: BigQuery) -> type:
    """A stand-in for the client of the Storage Read API: two streams a table, each of a few answers."""

    class Reader:
        def create_read_session(self, parent: str, read_session: Any, max_stream_count: int) -> Any:
            _, project, _, dataset, _, table = read_session.table.split("/")
            name = f"{project}.{dataset}.{table}"
            bigquery.sessions.append((name, list(read_session.read_options.selected_fields)))
            streams = [SimpleNamespace(name=f"{len(bigquery.sessions) - 1}/{number}") for number in range(2)]
            return SimpleNamespace(
                streams=streams, avro_schema="", arrow_schema="", data_format="", estimated_total_bytes_scanned=0
            )

        def read_rows(self, stream: str, **_: Any) -> Iterator[Any]:
            session, number = map(int, stream.split("/"))
            name, chosen = bigquery.sessions[session]
            known = bigquery.known(name)
            assert known is not None
            schema, rows = bigquery.content(known)
            tops = {field.split(".")[0] for field in chosen}
            fields = [field for field in schema["fields"] if not tops or field["name"] in tops]
            schema = {"type": "record", "name": "root", "fields": fields}
            for part in _parts(rows[number::2]):
                file = io.BytesIO()
                for row in part:
                    fastavro.schemaless_writer(file, schema, row)
                yield SimpleNamespace(
                    avro_schema=SimpleNamespace(schema=json.dumps(schema)),
                    avro_rows=SimpleNamespace(serialized_binary_rows=file.getvalue()),
                )

    return Reader


def _parts(rows: list[Any]) -> Iterator[list[Any]]:
    return (rows[place : place + 50] for place in range(0, len(rows), 50))


@contextmanager
def serving(bigquery: BigQuery, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both clients of this process come here."""
    import apache_beam.io.gcp.bigquery as connector
    from apache_beam.internal.gcp import auth
    from apache_beam.io.gcp.internal.clients.bigquery import BigqueryV2

    server = _Server(bigquery)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_port}"
    patch.setenv("BIGQUERY_EMULATOR_HOST", url)
    patch.setenv("NO_GCE_CHECK", "true")
    patch.setattr(google.auth, "default", lambda *_, **__: (AnonymousCredentials(), PROJECT))
    # Beam keeps what a process found first, also that there is none.
    for name, value in {"_credentials_init": False, "_credentials": None}.items():
        patch.setattr(auth._Credentials, name, value)
    patch.setattr(BigqueryV2, "BASE_URL", f"{url}/bigquery/v2/")
    patch.setattr(connector.bq_storage, "BigQueryReadClient", _reader(bigquery))
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
