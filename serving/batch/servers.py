"""The same queries by running servers: the client's library in a worker, many requests on their way at once."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import grpc
from apache_beam.ml.inference.base import ModelHandler

from preprocessing.console import UserError
from serving.batch.models import Answered, Example
from serving.batch.rows import LISTS, Row
from serving.batch.steps import Refused
from serving.batch.tables import Record
from serving.features import FILTER_LISTS, VECTOR_LISTS
from serving.retriever.blocking import Retriever
from serving.retriever.errors import RETRYABLE, RetrievalError
from serving.retriever.request import User

_CONCURRENT = 16  # enough for a server to fill its batches
_ATTEMPTS = 3


@dataclasses.dataclass(frozen=True)
class Servers:
    """Who is asked."""

    targets: tuple[str, ...]
    model: str
    timeout: float


class ServerRetriever(ModelHandler[Example, Answered, Any]):
    """Queries -> `(request_id, content hash, query, item ids, scores)`."""

    def __init__(self, servers: Servers, max_batch: int) -> None:
        super().__init__(min_batch_size=min(32, max_batch), max_batch_size=max_batch)
        self._servers = servers

    def load_model(self) -> Any:
        return Retriever(self._servers.targets, self._servers.model, timeout=self._servers.timeout)

    def get_num_bytes(self, batch: Sequence[Example]) -> int:
        return sum(len(row.values[0]) for _, row in batch)

    def run_inference(
        self, batch: Sequence[Example], model: Retriever, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Answered]:
        with concurrent.futures.ThreadPoolExecutor(_CONCURRENT) as pool:
            answers = pool.map(lambda example: ask(model, example[1]), batch)
            return [(shard, answer) for (shard, _), answer in zip(batch, answers, strict=True)]


def ask(retriever: Retriever, row: Row) -> Record | Refused:
    """One row's answer. A row that servers refuse goes aside; servers that are gone, or not whole, end the job."""
    query, k, lists = row.values
    named = dict(zip(LISTS, lists, strict=True))
    user = User(**{name: named[name] for name in VECTOR_LISTS})
    conditions = {name: named[name] for name in FILTER_LISTS}
    for left in reversed(range(_ATTEMPTS)):
        try:
            answer = retriever.retrieve(query, user, k, **conditions)
        except ValueError as error:
            return Refused(str(error), row)
        except RetrievalError as error:
            if error.code is grpc.StatusCode.INVALID_ARGUMENT:
                return Refused(error.message, row)
            if not left or error.code not in (*RETRYABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise RuntimeError(str(error)) from None  # whose pickle, unlike its own, can be read
            continue
        if not answer.partial:
            return row.id, row.content, query, [hit.item_id for hit in answer.hits], [hit.score for hit in answer.hits]
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
