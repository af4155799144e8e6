"""The models of a `shards.json`, each in a server of its own, asked by the library's client."""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil

from serving.retriever.request import User
from serving.retriever.sharded import AsyncShardedRetriever

_ROOT = Path(__file__).resolve().parent.parent
_TIMEOUT = 30.0


class Servers(NamedTuple):
    """All of them."""

    processes: list[psutil.Process]
    shard_map: Path  # of both channels
    vectors_alone: Path  # of the same models, whose clients ask for vectors alone

    def mib(self) -> list[int]:
        """The resident memory of each, the model of queries first."""
        return [one.memory_info().rss >> 20 for one in self.processes]


@contextlib.contextmanager
def served(models: Path, folder: Path) -> Iterator[Servers]:
    """Servers of the models that `<models>/shards.json` names; files for their clients come into a folder."""
    listed = json.loads((models / "shards.json").read_text())
    with contextlib.ExitStack() as stack:
        processes = []
        for place in (listed["query"], *listed["shards"]):
            process, place["target"] = stack.enter_context(_server(models / place["name"], place["name"]))
            processes.append(process)
        files = folder / "both.json", folder / "vectors.json"
        files[0].write_text(json.dumps(listed))
        files[1].write_text(json.dumps({name: one for name, one in listed.items() if name != "fusion"}))
        yield Servers(processes, *files)


@contextlib.contextmanager
def _server(base: Path, name: str) -> Iterator[tuple[psutil.Process, str]]:
    command = [sys.executable, "-m", "serving.server", "--model_base_path", str(base), "--model_name", name]
    with subprocess.Popen([*command, "--port", "auto"], cwd=_ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("serving"):
            raise SystemExit(f"the server of {base} did not start")
        try:
            yield psutil.Process(process.pid), line.split("gRPC ")[1].strip()
        finally:
            process.terminate()


Asked = Sequence[tuple[str, User | None]]


class Told(NamedTuple):
    """The answers to some queries, asked one after the other."""

    vectors: np.ndarray  # float32 [Q, dim]
    item_ids: list[list[bytes]]
    p50_ms: float
    p99_ms: float


def ask(shard_map: Path, asked: Asked, k: int) -> Told:
    """Each query's vector and its k best, after each was asked once before."""
    return asyncio.run(_ask(shard_map, asked, k))


async def _ask(shard_map: Path, asked: Asked, k: int) -> Told:
    async with AsyncShardedRetriever(str(shard_map), timeout=_TIMEOUT) as client:
        vectors = [await client.embed(query, user) for query, user in asked]
        for query, user in asked:
            await client.retrieve(query, user, k)
        answers, taken = [], []
        for query, user in asked:
            since = time.perf_counter()
            answers.append(await client.retrieve(query, user, k))
            taken.append(1000 * (time.perf_counter() - since))
    ids = [[hit.item_id.encode() for hit in answer.hits] for answer in answers]
    return Told(np.array(vectors, np.float32), ids, round(statistics.median(taken), 2), _p99(taken))


def _p99(values: Sequence[float]) -> float:
    return round(float(np.quantile(values, 0.99)), 2)


def users_of(data: str, count: int, widths: dict[str, int]) -> list[tuple[str, User | None]]:
    """Queries of the eval split with their users' pasts, each other one of nobody."""
    from serving.catalogue.data_records import held_out_requests  # TensorFlow comes with it

    requests = held_out_requests(data, "eval", count, widths)
    found: list[tuple[str, User | None]] = []
    for row, query in enumerate(requests.inputs["query"].tolist()):
        lists: dict[str, Any] = {
            name: tuple(one.decode() for one in values[row].tolist() if one)
            for name, values in requests.inputs.items()
            if values.ndim == 2 and values.dtype == object
        }
        found.append((query.decode(), User(**lists) if row % 2 else None))
    return found
