"""Judgments as `trainer.evaluate` reads them, and as OpenSearch's Search Relevance Workbench imports them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import orjson
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.data.record_files import write_file

JUDGMENTS, OPENSEARCH, SUMMARY = "judgments.jsonl.gz", "opensearch.json", "judge.json"
STAGING = "_counts-"


class Judged(NamedTuple):
    """An item for a query."""

    query: str
    item_id: str
    score: float
    grade: int
    shown: int
    clicked: int


def check_output(folder: str) -> None:
    """A folder with other things in it is left alone."""
    found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
    names = {file.path.rstrip("/").rpartition("/")[2] for file in found}
    ours = (JUDGMENTS, OPENSEARCH, SUMMARY, STAGING)  # also what a run that was killed has half written
    foreign = sorted(name for name in names if not name.startswith(ours))
    if foreign or (names & {JUDGMENTS, OPENSEARCH} and SUMMARY not in names):
        what = foreign[0] if foreign else sorted(names)[0]
        raise UserError(f"--output {folder} holds {what}, which this command did not write; name another folder")


def write_judgments(folder: str, judged: Sequence[Judged], summary: dict[str, Any]) -> None:
    """Each file is there whole or not at all; the summary comes first, and says whose folder it is."""
    write_file(FileSystems.join(folder, SUMMARY), [json.dumps(summary, indent=1).encode()])
    write_file(FileSystems.join(folder, JUDGMENTS), map(_line, judged))
    write_file(FileSystems.join(folder, OPENSEARCH), _workbench(judged))


def _line(one: Judged) -> bytes:
    return orjson.dumps(one._asdict(), option=orjson.OPT_APPEND_NEWLINE)


def _workbench(judged: Iterable[Judged]) -> Iterator[bytes]:
    """One body of `PUT _plugins/_search_relevance/judgments`; `judged` is in the order of queries."""
    head = {"name": "Clicks", "description": "by multigrain, from clicks", "type": "IMPORT_JUDGMENT"}
    yield json.dumps(head).encode()[:-1] + b', "judgmentRatings": ['
    query: str | None = None
    for one in judged:
        if one.query != query:
            yield (b"" if query is None else b"]},\n") + b'{"query": ' + orjson.dumps(one.query) + b', "ratings": ['
        else:
            yield b", "
        yield orjson.dumps({"docId": one.item_id, "rating": f"{one.grade:.3f}"})
        query = one.query
    yield b"]}]}\n" if query is not None else b"]}\n"
