"""Beam's RunInference over the exported SavedModel, or over servers that run it."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import grpc
import numpy as np
import pyarrow
import pyarrow.compute
from apache_beam.ml.inference.base import ModelHandler

from preprocessing.command.console import UserError
from serving.batch.answer_files import answer_table, vector_table
from serving.batch.rows import CONTENT, ID, LISTS, NUMBERS, Block, column_of, lengths, padded, price_ranges, unpack
from serving.inputs import FILTER_LISTS, PRICE_RANGE, VECTOR_LISTS, beside
from serving.retriever.answers import Answer, Hit
from serving.retriever.blocking import Retriever
from serving.retriever.request import User
from serving.retriever.retries import RETRYABLE, RetrievalError

_BLOCK = 256  # rows: what one costs beside its rows no longer shows
_CONCURRENT = 16  # enough for a server to fill its batches
_ATTEMPTS = 3


Refused = dict[int, str]  # a row that the model has no answer for -> why


class Answered(NamedTuple):
    """What the model made of a batch's rows of one shard."""

    shard: int
    rows: pyarrow.Table
    refused: list[tuple[str, dict[str, Any]]]  # (reason, the row)


class BlockHandler(ModelHandler[Block, Answered, Any]):
    """Asks a model about the rows of several blocks at once; Beam chooses how many rows."""

    def __init__(self, max_batch: int) -> None:
        self.block = min(_BLOCK, max_batch)
        super().__init__(min_batch_size=self.block, max_batch_size=max_batch, element_size_fn=_rows)

    def get_num_bytes(self, batch: Sequence[Block]) -> int:
        """Beam's own way writes every batch out to see how long it is."""
        return sum(len(packed) for _, _, packed in batch)

    def run_inference(
        self, batch: Sequence[Block], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterator[Answered]:
        table = unpack(packed for _, _, packed in batch)
        answers, refused = self.answer(table, model)
        shards = np.repeat([shard for shard, _, _ in batch], [rows for _, rows, _ in batch])
        answered = np.delete(shards, list(refused))
        for shard in np.unique(shards).tolist():
            reasons = [(why, _plain(table, row)) for row, why in refused.items() if shards[row] == shard]
            yield Answered(shard, answers.filter(pyarrow.array(answered == shard)), reasons)

    def answer(self, table: pyarrow.Table, model: Any) -> tuple[pyarrow.Table, Refused]:
        """The answers to N rows, in their order, and which of them have none."""
        raise NotImplementedError


def _rows(block: Block) -> int:
    return block[1]


def _plain(table: pyarrow.Table, row: int) -> dict[str, Any]:
    return table.slice(row, 1).drop_columns([CONTENT]).to_pylist()[0]


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """Where a model lies, and which of its signatures is called."""

    path: str
    signature: str
    scann: bool = False

    def loaded(self) -> Any:
        """In a graph session, as TensorFlow Serving has it."""
        from serving.graph.saved_model import ServedModel  # TensorFlow comes with it: the launcher starts without

        model = ServedModel(self.path, self.scann, threads=1)  # a worker is a core: threads would wait
        if self.signature not in model.signatures:
            raise RuntimeError(f"{self.path} has no signature {self.signature}; write the version anew")
        return model


@dataclasses.dataclass(frozen=True)
class JobItemTower:
    """The item tower of a job."""

    job_dir: str
    signature: str = "embed_item"

    def loaded(self) -> Any:
        """The same."""
        from serving.graph.job_item_tower import open_item_tower

        return open_item_tower(self.job_dir, threads=1)


class SavedModelHandler(BlockHandler):
    """Calls one signature."""

    def __init__(self, model: SavedModel | JobItemTower, max_batch: int) -> None:
        super().__init__(max_batch)
        self._model = model

    def load_model(self) -> Any:
        return self._model.loaded()


class ItemEmbedder(SavedModelHandler):
    """Items -> a vector table."""

    def answer(self, table: pyarrow.Table, model: Any) -> tuple[pyarrow.Table, Refused]:
        inputs = {name: column_of(table[name]) for name in model.signatures[self._model.signature].inputs}
        embedded = model.call(self._model.signature, inputs)["embedding"]
        finite = np.isfinite(embedded).all(axis=1)
        good = table.filter(pyarrow.array(finite))
        refused = dict.fromkeys(np.flatnonzero(~finite).tolist(), "vector is not finite")
        return vector_table(good[ID], good[CONTENT], embedded[finite]), refused


class ModelRetriever(SavedModelHandler):
    """Queries -> an answer table."""

    def answer(self, table: pyarrow.Table, model: Any) -> tuple[pyarrow.Table, Refused]:
        shapes = model.signatures[self._model.signature].inputs
        widths = {name: shapes[name].tensor_shape.dim[1].size for name in LISTS}
        k, refused = table["k"].to_numpy(), too_wide(table, widths)
        lists = {name: padded(table[name], widths[name]) for name in LISTS}
        lists |= {name: padded(table[name], widths[beside(name)]) for name in NUMBERS if name in shapes}
        inputs = {"query": column_of(table["query"]), "k": k, PRICE_RANGE: price_ranges(table[PRICE_RANGE]), **lists}
        found = model.call(self._model.signature, inputs)
        ids = pyarrow.array(found["item_ids"].reshape(-1), pyarrow.binary())
        there = (pyarrow.compute.binary_length(ids).to_numpy() > 0).reshape(found["item_ids"].shape)
        there &= np.arange(there.shape[1]) < k[:, np.newaxis]  # behind the answers there is padding alone
        there[list(refused)] = False
        answered = np.full(len(table), True)
        answered[list(refused)] = False
        kept, items = table.filter(pyarrow.array(answered)), ids.filter(pyarrow.array(there.reshape(-1)))
        counts = there.sum(axis=1)[answered]
        scores, channels = (found[name][there] for name in ("scores", "channels"))
        return answer_table(kept[ID], kept[CONTENT], kept["query"], items, scores, channels, counts), refused


def too_wide(table: pyarrow.Table, widths: dict[str, int]) -> Refused:
    """The rows with a condition that the model has no room for: to cut it would make the answer another."""
    refused: Refused = {}
    for name in FILTER_LISTS:
        given = lengths(table[name])
        for row in np.flatnonzero(given > widths[name]).tolist():
            refused.setdefault(row, f"{name}: {given[row]} given, this model takes {widths[name]}")
    return refused


@dataclasses.dataclass(frozen=True)
class Servers:
    """Who is asked."""

    targets: tuple[str, ...]
    model: str
    timeout: float
    shard_map: str | None = None  # a shards.json, which says targets and models itself

    def opened(self) -> Retriever:
        """A client of theirs."""
        return Retriever(self.targets, self.model, shards=self.shard_map, timeout=self.timeout)

    @property
    def flag(self) -> str:
        """How the command names them."""
        return f"--shard-map {self.shard_map}" if self.shard_map else f"--target {' '.join(self.targets)}"


class Told(NamedTuple):
    """What servers say to the rows of a table."""

    kept: pyarrow.Table  # those that are answered
    hits: list[Sequence[Hit]]  # of each
    items: pyarrow.Array  # of all hits, one behind the other
    scores: np.ndarray
    counts: np.ndarray  # int64, hits of each row
    refused: Refused


class ServersHandler(BlockHandler):
    """Asks servers, several rows at once."""

    def __init__(self, servers: Servers, max_batch: int) -> None:
        super().__init__(max_batch)
        self._servers = servers

    def load_model(self) -> Any:
        return self._servers.opened()

    @staticmethod
    def told(table: pyarrow.Table, ask: Callable[[dict[str, Any]], Sequence[Hit] | str]) -> Told:
        """Asks for each row: its hits, or why servers refuse it."""
        with concurrent.futures.ThreadPoolExecutor(_CONCURRENT) as pool:
            answers = list(pool.map(ask, table.to_pylist()))
        refused = {row: answer for row, answer in enumerate(answers) if isinstance(answer, str)}
        kept = table.filter(pyarrow.array([not isinstance(answer, str) for answer in answers]))
        hits = [answer for answer in answers if not isinstance(answer, str)]
        items = pyarrow.array([hit.item_id for found in hits for hit in found], pyarrow.string())
        scores = np.array([hit.score for found in hits for hit in found], np.float32)
        return Told(kept, hits, items, scores, np.array([len(found) for found in hits], np.int64), refused)


class ServerRetriever(ServersHandler):
    """Queries -> an answer table."""

    def answer(self, table: pyarrow.Table, model: Retriever) -> tuple[pyarrow.Table, Refused]:
        told = self.told(table, lambda row: ask(model, row))
        channels = np.array([hit.channels for found in told.hits for hit in found], np.int32)
        keys = told.kept[ID], told.kept[CONTENT], told.kept["query"]
        return answer_table(*keys, told.items, told.scores, channels, told.counts), told.refused


def ask(retriever: Retriever, row: dict[str, Any]) -> Sequence[Hit] | str:
    """One row's answer, or why servers refuse it."""
    user = User(**{name: row[name] for name in (*VECTOR_LISTS, *NUMBERS)})
    conditions = {name: row[name] for name in FILTER_LISTS} | {PRICE_RANGE: tuple(row[PRICE_RANGE])}
    answer = answers_in_time(lambda: retriever.retrieve(row["query"], user, row["k"], **conditions))
    return answer if isinstance(answer, str) else answer.hits


def answers_in_time(call: Callable[[], Answer]) -> Answer | str:
    """What servers answer, or why they refuse it; servers that are gone, or not whole, end the job."""
    for left in reversed(range(_ATTEMPTS)):
        try:
            answer = call()
        except ValueError as error:
            return str(error)
        except RetrievalError as error:
            if error.code is grpc.StatusCode.INVALID_ARGUMENT:
                return error.message
            if not left or error.code not in (*RETRYABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
                raise RuntimeError(str(error)) from None  # whose pickle, unlike its own, can be read
            continue
        if not answer.partial:
            return answer
        if not left:
            raise RuntimeError(f"shards did not answer: {answer.missing}")
    raise AssertionError("the last attempt answers or raises")


def check_servers(servers: Servers) -> dict[str, int]:
    """One question before the job: a wrong address or model is told now, and once. Gives each shard's version."""
    try:
        with servers.opened() as retriever:
            answer = retriever.retrieve("", k=1)
    except (RetrievalError, ValueError) as error:
        raise UserError(f"{servers.flag}: {error}") from None
    if answer.partial:
        missing = "; ".join(f"{shard}: {why}" for shard, why in answer.missing.items())
        raise UserError(f"{servers.flag}: {missing}")
    return answer.versions
