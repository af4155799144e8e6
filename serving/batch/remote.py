"""The same queries by running servers: the client's library in a worker, many requests on their way at once."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pyarrow

from preprocessing.command.console import UserError
from serving.batch.answer_files import answer_table
from serving.batch.blocks import CONTENT, ID
from serving.batch.models import BlockHandler, Refused
from serving.inputs import FILTER_LISTS, VECTOR_LISTS
from serving.retriever.asynchronous import Hit
from serving.retriever.blocking import Retriever
from serving.retriever.request import User
from serving.retriever.shard import RETRYABLE, RetrievalError

_CONCURRENT = 16  # enough for a server to fill its batches
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Servers:
    """Who is asked."""

    targets: tuple[str, ...]
    model: str
    timeout: float


class ServerRetriever(BlockHandler):
    """Queries -> an answer table."""

    def __init__(self, servers: Servers, max_batch: int) -> None:
        super().__init__(max_batch)
        self._servers = servers

    def load_model(self) -> Any:
        return Retriever(self._servers.targets, self._servers.model, timeout=self._servers.timeout)

    def answer(self, table: pyarrow.Table, model: Retriever) -> tuple[pyarrow.Table, Refused]:
        with concurrent.futures.ThreadPoolExecutor(_CONCURRENT) as pool:
            answers = list(pool.map(lambda row: ask(model, row), table.to_pylist()))
        refused = {row: answer for row, answer in enumerate(answers) if isinstance(answer, str)}
        kept = table.filter(pyarrow.array([not isinstance(answer, str) for answer in answers]))
        hits = [answer for answer in answers if not isinstance(answer, str)]
        items = pyarrow.array([hit.item_id for found in hits for hit in found], pyarrow.string())
        scores = np.array([hit.score for found in hits for hit in found], np.float32)
        counts = np.array([len(found) for found in hits], np.int64)
        return answer_table(kept[ID], kept[CONTENT], kept["query"], items, scores, counts), refused


def ask(retriever: Retriever, row: dict[str, Any]) -> Sequence[Hit] | str:
    """One row's answer, or why servers refuse it; servers that are gone, or not whole, end the job."""
    user = User(**{name: row[name] for name in VECTOR_LISTS})
    conditions = {name: row[name] for name in FILTER_LISTS}
    for left in reversed(range(_ATTEMPTS)):
        try:
            answer = retriever.retrieve(row["query"], user, row["k"], **conditions)
        except ValueError as error:
            return str(error)
        except RetrievalError as error:
            if error.code is grpc.StatusCode.INVALID_ARGUMENT:
                return error.message
            if not left or error.code not in (*RETRYABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise RuntimeError(str(error)) from None  # whose pickle, unlike its own, can be read
            continue
        if not answer.partial:
            return answer.hits
        if not left:
            raise RuntimeError(f"shards did not answer: {answer.missing}")
    raise AssertionError("the last attempt answers or raises")


def check_servers(servers: Servers) -> dict[str, int]:
    """One question before the job: a wrong address or model is told now, and once. Gives each shard's version."""
    try:
        with Retriever(servers.targets, servers.model, timeout=servers.timeout) as retriever:
            answer = retriever.retrieve("", k=1)
    except (RetrievalError, ValueError) as error:
        raise UserError(f"--target {' '.join(servers.targets)}: {error}") from None
    if answer.partial:
        missing = "; ".join(f"{shard}: {why}" for shard, why in answer.missing.items())
        raise UserError(f"--target {' '.join(servers.targets)}: {missing}")
    return answer.versions
