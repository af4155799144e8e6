"""Small batch jobs over a market's items, and what they wrote."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson

from preprocessing.logs.sources import Source
from serving.batch.answer_files import read_table, vectors_of
from serving.batch.commit import Outcome
from serving.batch.jobs import Job, embed_job
from serving.batch.output_folder import BatchFolder
from serving.batch.run import run as run_or_launch
from serving.inputs import ITEM_INPUTS
from tests.serving.market import Shelf


def record(items: Shelf, row: int, **changed: Any) -> dict[str, Any]:
    """An item as a catalogue record."""
    texts = {name: items.inputs[name][row].decode() for name in ITEM_INPUTS}
    return texts | {"price": float(items.prices[row])} | changed


def write(path: Path, rows: Iterable[Any]) -> str:
    path.write_bytes(b"\n".join(row if isinstance(row, bytes) else orjson.dumps(row) for row in rows))
    return str(path)


def run(job: Job, source: Source, flags: Sequence[str] = ()) -> Outcome:
    outcome = run_or_launch(job, source, flags)
    assert outcome is not None
    return outcome


def embedding(job: str, output: Path, **settings: Any) -> Job:
    return embed_job(job, None, 64, **{"output": str(output), "format": "parquet", "shards": 2} | settings)


def vectors_by_id(output: Path) -> dict[str, np.ndarray]:
    tables = [read_table(path) for path in BatchFolder(str(output)).files()]
    return {
        one: row for table in tables for one, row in zip(table["item_id"].to_pylist(), vectors_of(table), strict=True)
    }
