"""The server over real exports of every kind of index: what waits is merged, and limits hold."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.runtime.batching import BatchingLimits
from serving.runtime.grpc_server import ModelServer
from serving.runtime.lanes import Lane, Task
from serving.runtime.predictor import RequestLimits
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of
from tests.serving.runtime.test_batching import until

QUERIES = [f"{word} shoes" for word in ("red", "blue", "black", "running", "summer", "new", "old", "x")]
MOST_ROWS = 16


@pytest.fixture(scope="module")
def export(kind: str, exported: Callable[[str], Path]) -> Path:
    """A model folder of each kind."""
    return exported(kind)


@contextmanager
def all_slots_taken(server: ModelServer) -> Iterator[None]:
    """Inside, whatever arrives waits."""
    gate, entered = threading.Event(), threading.Semaphore(0)

    def call(rows: np.ndarray) -> list[np.ndarray]:
        entered.release()
        assert gate.wait(TIMEOUT)
        return [rows]

    slots = server.settings.batching.num_batch_threads
    lanes = [Lane(f"held{number}", call, False) for number in range(slots)]
    with ThreadPoolExecutor(slots) as pool:
        held = [pool.submit(server.batcher.run, lane, Task([np.zeros(1)], 1)) for lane in lanes]
        for _ in held:
            assert entered.acquire(timeout=TIMEOUT)
        try:
            yield
        finally:
            gate.set()


def batches(server: ModelServer) -> tuple[float, float]:
    """How many batches ran, and their rows."""
    name, labels = ":tensorflow:serving:batching_session:processed_batch_size", {"batch": "retrieval:serving_default"}
    registry = server.metrics.registry
    count, rows = (registry.get_sample_value(f"{name}_{part}", labels) for part in ("count", "sum"))
    return count or 0, rows or 0


def assert_same_answer(one: dict[str, np.ndarray], other: dict[str, np.ndarray], exactly: bool) -> None:
    """The same request alone and in a batch: ScaNN's candidates hang on the batch, the score of an item does not."""
    if exactly:
        np.testing.assert_array_equal(one["item_ids"], other["item_ids"])
    scores, others = (dict(zip(found["item_ids"][0], found["scores"][0], strict=True)) for found in (one, other))
    shared = scores.keys() & others.keys()
    assert len(shared) >= 0.5 * len(scores)
    np.testing.assert_allclose([scores[item] for item in shared], [others[item] for item in shared], rtol=1e-5)


def test_what_waits_is_one_batch_and_each_gets_its_own_answer(
    export: Path, kind: str, serve: Callable[..., ModelServer]
) -> None:
    server = serve(export, batching=BatchingLimits(num_batch_threads=2), limits=RequestLimits(max_rows=MOST_ROWS))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stubs = Stubs(channel)
        alone = [stubs.predict(query=[query]) for query in QUERIES]
        before = batches(server)
        with server.manager.use(request_of(query=["a"]).model_spec) as servable:
            lane = servable.lane(servable.signatures["serving_default"], bulk=False)
        with all_slots_taken(server):
            calls = [stubs.prediction.Predict.future(request_of(query=[query]), timeout=TIMEOUT) for query in QUERIES]
            until(lambda: lane.rows == len(QUERIES))
        together = [answer_of(call) for call in calls]
        assert batches(server) == (before[0] + 1, before[1] + len(QUERIES))
        for one, other in zip(alone, together, strict=True):
            assert_same_answer(one, other, exactly=kind != "scann")
        for signature, definition in servable.signatures.items():
            assert definition.batchable, signature


def test_a_request_of_too_many_rows_is_refused(export: Path, serve: Callable[..., ModelServer]) -> None:
    server = serve(export, limits=RequestLimits(max_rows=MOST_ROWS))
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert Stubs(channel).predict(query=["a"] * MOST_ROWS)["item_ids"].shape[0] == MOST_ROWS
        with pytest.raises(grpc.RpcError, match="17 rows in one request") as caught:
            Stubs(channel).predict(query=["a"] * (MOST_ROWS + 1))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_request_larger_than_a_batch_waits_apart_from_the_others(server: ModelServer) -> None:
    spec = request_of(query=["a"]).model_spec
    with server.manager.use(spec) as servable:
        signature = servable.signatures["serving_default"]
        for rows, bulk in ((64, False), (65, True)):
            task = Task([np.array(["a"] * rows, object)], rows)
            assert server.predictor._lane(servable, signature, task) is servable.lane(signature, bulk)


def answer_of(call: Any) -> dict[str, np.ndarray]:
    import tensorflow as tf

    return {name: tf.make_ndarray(proto) for name, proto in call.result().outputs.items()}
