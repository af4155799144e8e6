"""Batches form out of what waits, and nothing that happens to one request happens to its neighbours."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.runtime import batching
from serving.runtime.batching import Batcher, BatchingLimits, Running
from serving.runtime.idle_loop import IdleLoop
from serving.runtime.lanes import Lane, Task
from serving.runtime.status import ServingError


class Model:
    """Doubles its rows; holds a batch until it is let go; refuses negative numbers."""

    def __init__(self) -> None:
        self.batches: list[list[float]] = []
        self.gate = threading.Event()
        self.entered = threading.Semaphore(0)

    def __call__(self, rows: np.ndarray) -> list[np.ndarray]:
        self.batches.append(rows.tolist())
        self.entered.release()
        assert self.gate.wait(30)
        if (rows < 0).any():
            raise ValueError("negative")
        return [rows * 2]


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(32) as pool:
        yield pool


def until(met: Callable[[], bool]) -> None:
    for _ in range(3000):
        if met():
            return
        time.sleep(0.01)
    raise AssertionError("never came about")


def task(*rows: float, timeout: float | None = None) -> Task:
    return Task([np.array(rows)], len(rows), timeout)


def busy(pool: ThreadPoolExecutor, **limits: int) -> tuple[Model, Batcher, Lane, Future[list[np.ndarray]]]:
    """A batcher whose only slot is taken by a first request."""
    model = Model()
    batcher = Batcher(BatchingLimits(**{"num_batch_threads": 1} | limits))
    lane = Lane("double", model, True)
    first = pool.submit(batcher.run, lane, task(0.0))
    model.entered.acquire()
    return model, batcher, lane, first


def queued(pool: ThreadPoolExecutor, batcher: Batcher, lane: Lane, *tasks: Task) -> list[Future[list[np.ndarray]]]:
    futures = []
    for one in tasks:
        wanted = lane.rows + one.rows
        futures.append(pool.submit(batcher.run, lane, one))
        until(lambda wanted=wanted: lane.rows >= wanted)  # type: ignore[misc]
    return futures


def test_who_waits_is_run_together(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, first = busy(pool)
    waiting = queued(pool, batcher, lane, task(1.0), task(2.0, 3.0), task(4.0))
    model.gate.set()
    assert first.result()[0].tolist() == [0]
    assert [one.result()[0].tolist() for one in waiting] == [[2], [4, 6], [8]]
    assert model.batches == [[0], [1, 2, 3, 4]]


def test_a_batch_has_at_most_so_many_rows(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool, max_batch_size=4)
    waiting = queued(pool, batcher, lane, task(1.0, 2.0), task(3.0), task(4.0, 5.0), task(*range(6, 16)))
    model.gate.set()
    assert [len(one.result()[0]) for one in waiting] == [2, 1, 2, 10]
    assert [len(batch) for batch in model.batches] == [1, 3, 2, 10]


def test_a_full_queue_refuses_at_once(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool, max_batch_size=2, max_enqueued_batches=2)
    waiting = queued(pool, batcher, lane, task(1.0, 2.0), task(3.0, 4.0))
    with pytest.raises(ServingError) as caught:
        batcher.run(lane, task(5.0))
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    model.gate.set()
    assert [one.result()[0].tolist() for one in waiting] == [[2, 4], [6, 8]]


def test_a_deadline_ends_the_wait_and_its_row_is_not_run(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool)
    with pytest.raises(ServingError) as caught:
        batcher.run(lane, task(7.0, timeout=0.05))
    assert caught.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    (after,) = queued(pool, batcher, lane, task(8.0))
    model.gate.set()
    assert after.result()[0].tolist() == [16]
    assert model.batches == [[0], [8]]


def test_a_deadline_that_nobody_watches_is_kept_too(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool)
    late = task(7.0, timeout=0.0)
    late.told = (told := threading.Event()).set
    batcher._submit(lane, late)
    (after,) = queued(pool, batcher, lane, task(8.0))
    model.gate.set()
    assert told.wait(30)
    with pytest.raises(ServingError, match="deadline"):
        late.outcome()
    assert after.result()[0].tolist() == [16]
    assert model.batches == [[0], [8]]


def test_coroutines_wait_without_a_thread_and_who_went_away_is_not_run(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool)

    async def ask() -> list[Any]:
        asked = [asyncio.create_task(batcher.answer(lane, task(row))) for row in (1.0, 2.0, 3.0)]
        await asyncio.sleep(0)  # they run up to where they wait
        asked[0].cancel()
        asked[2].cancel()
        await asyncio.sleep(0)
        model.gate.set()
        return await asyncio.gather(*asked, return_exceptions=True)

    first, second, third = asyncio.run(ask())
    assert second[0].tolist() == [4]
    assert isinstance(first, asyncio.CancelledError) and isinstance(third, asyncio.CancelledError)
    assert model.batches == [[0], [2]]


SHORT, LONG = 1e-4, 100.0


def beside(pool: ThreadPoolExecutor, seconds: dict[int, float], running: int, arriving: int) -> bool:
    """Whether a batch of so many rows begins in a free slot while another of its lane runs."""
    model = Model()
    batcher, lane = Batcher(BatchingLimits(num_batch_threads=2)), Lane("double", model, True)
    for rows, spent in seconds.items():
        lane.took(rows, spent)
    asked = [pool.submit(batcher.run, lane, task(*[0.0] * running))]
    model.entered.acquire()
    asked.append(pool.submit(batcher.run, lane, task(*[1.0] * arriving)))
    until(lambda: len(batcher._running) == 2 or lane.rows == arriving)
    found = len(batcher._running) == 2
    model.gate.set()
    assert [len(one.result()[0]) for one in asked] == [running, arriving]
    return found


@pytest.mark.parametrize("second", [1.0, 30.0, LONG])
def test_few_rows_wait_for_a_larger_batch_that_is_over_before_theirs_at_any_speed(
    pool: ThreadPoolExecutor, second: float
) -> None:
    steady = {1: second, 8: second}
    assert not beside(pool, steady, running=8, arriving=1)
    assert not beside(pool, steady, running=8, arriving=7)
    assert beside(pool, steady, running=8, arriving=8)  # as many as run: the slots share them
    assert beside(pool, steady, running=1, arriving=1)
    assert beside(pool, {1: second, 64: 9 * second}, running=64, arriving=1)  # too long to wait for


def test_a_short_batch_is_waited_for(pool: ThreadPoolExecutor) -> None:
    model = Model()
    batcher, lane = Batcher(BatchingLimits(num_batch_threads=2)), Lane("double", model, True)
    lane.took(1, SHORT)
    now = time.monotonic()
    batcher._running = {batcher._slots[0]: Running(lane, 1, now, SHORT)}
    assert batcher._worth_waiting(lane, 1)
    batcher._running = {batcher._slots[0]: Running(lane, 1, now - 1, SHORT)}  # it hangs
    assert not batcher._worth_waiting(lane, 1)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 500), st.floats(1e-6, 10)), min_size=1), st.integers(0, 500))
def test_what_a_batch_is_expected_to_take_lies_within_what_batches_took(
    seen: list[tuple[int, float]], rows: int
) -> None:
    lane = Lane("any", list, True)
    for size, seconds in seen:
        lane.took(size, seconds)
    spent = [seconds for _, seconds in seen]
    assert min(spent) * 0.999 <= lane.expected(rows) <= max(spent) * 1.001


def test_outputs_without_a_row_for_each_row_are_of_requests_alone(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, first = busy(pool)
    sums: list[float] = []
    lane.call = lambda rows: sums.append(rows.sum()) or [rows.sum()]  # type: ignore[func-returns-value]
    waiting = queued(pool, batcher, lane, task(1.0), task(2.0, 3.0))
    model.gate.set()
    assert [one.result()[0].tolist() for one in waiting] == [1, 5]
    assert sums == [6, 1, 5] and not lane.batchable
    first.result()


def test_a_failing_request_fails_alone(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool)
    waiting = queued(pool, batcher, lane, task(1.0), task(-1.0), task(3.0))
    model.gate.set()
    assert [waiting[i].result()[0].tolist() for i in (0, 2)] == [[2], [6]]
    with pytest.raises(ServingError, match="negative"):
        waiting[1].result()
    assert batcher.run(lane, task(5.0))[0].tolist() == [10]


def test_requests_without_rows_leave_the_slot_as_they_found_it(pool: ThreadPoolExecutor) -> None:
    batcher, lane = Batcher(BatchingLimits(num_batch_threads=1)), Lane("double", lambda rows: [rows * 2], True)
    for _ in range(2):
        assert batcher.run(lane, task(timeout=30))[0].tolist() == []
    assert batcher.run(lane, task(1.0, timeout=30))[0].tolist() == [2]


def test_lanes_take_turns(pool: ThreadPoolExecutor) -> None:
    model, batcher, lane, _ = busy(pool, max_batch_size=1)
    other = Lane("other", model, True)
    queued(pool, batcher, lane, task(1.0), task(2.0), task(3.0))
    queued(pool, batcher, other, task(10.0), task(20.0))
    model.gate.set()
    until(lambda: len(model.batches) == 6)
    assert model.batches == [[0], [1], [10], [2], [20], [3]]


def test_a_timeout_waits_for_company(pool: ThreadPoolExecutor) -> None:
    model = Model()
    model.gate.set()
    batcher = Batcher(BatchingLimits(max_batch_size=3, batch_timeout_micros=30_000_000, num_batch_threads=2))
    lane = Lane("double", model, True)
    first = pool.submit(batcher.run, lane, task(1.0))
    until(lambda: lane.gathering == 2)
    others = [*queued(pool, batcher, lane, task(2.0)), pool.submit(batcher.run, lane, task(3.0))]
    assert [one.result(30)[0].tolist() for one in (first, *others)] == [[2], [4], [6]]
    assert model.batches == [[1, 2, 3]]


def test_every_request_of_many_threads_gets_its_own_answer(pool: ThreadPoolExecutor) -> None:
    lane = Lane("double", lambda rows: [rows * 2], True)
    batcher = Batcher(BatchingLimits(max_batch_size=8, num_batch_threads=2))

    def ask(start: int) -> None:
        for i in range(start, start + 500):
            assert batcher.run(lane, task(i, i + 0.5, timeout=30))[0].tolist() == [2 * i, 2 * i + 1]

    for one in [pool.submit(ask, 1000 * i) for i in range(16)]:
        one.result()
    assert (lane.rows, len(lane.tasks)) == (0, 0)


@pytest.mark.parametrize("slots", [2, 3])
def test_bulk_leaves_a_slot_to_the_others(slots: int, pool: ThreadPoolExecutor) -> None:
    held = Model()
    batcher = Batcher(BatchingLimits(num_batch_threads=slots))
    bulk, small = Lane("bulk", held, True, bulk=True), Lane("small", lambda x: [2 * x], True)
    running = [pool.submit(batcher.run, bulk, task(*[1.0] * 65)) for _ in range(slots)]
    for _ in range(slots - 1):
        held.entered.acquire()
    until(lambda: bulk.rows == 65)
    for number in range(3):
        assert batcher.run(small, task(float(number), timeout=60))[0].tolist() == [2 * number]
    assert bulk.rows == 65 and not held.entered.acquire(blocking=False)
    held.gate.set()
    assert [len(one.result(60)[0]) for one in running] == [65] * slots
    batcher.close()


def test_a_single_slot_is_for_bulk_as_well(pool: ThreadPoolExecutor) -> None:
    batcher = Batcher(BatchingLimits(num_batch_threads=1))
    lane = Lane("bulk", lambda x: [2 * x], True, bulk=True)
    assert [len(batcher.run(lane, task(*[1.0] * 65))[0]) for _ in range(2)] == [65, 65]
    batcher.close()


class Threads:
    """Tells in which thread each batch is run."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def __call__(self, rows: np.ndarray) -> list[np.ndarray]:
        self.seen.append(threading.current_thread().name)
        if (rows < 0).any():
            raise ValueError("negative")
        return [rows * 2]


def asked(**limits: int) -> tuple[Threads, Batcher, Lane]:
    """A batcher that knows how quick its model is."""
    model, batcher = Threads(), Batcher(BatchingLimits(**limits))
    lane = Lane("double", model, True)
    lane.took(1, 0.0001)
    return model, batcher, lane


def test_who_is_alone_is_answered_in_the_loops_own_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_SHORT", math.inf)  # however busy this machine is
    monkeypatch.setattr(IdleLoop, "waited", True)
    model, batcher, lane = asked()

    async def one_by_one() -> list[Any]:
        found = []
        for number in (1.0, -1.0, 3.0):
            found += await asyncio.gather(batcher.answer(lane, task(number)), return_exceptions=True)
        return found

    first, second, third = asyncio.run(one_by_one())
    assert model.seen == [threading.current_thread().name] * 3
    assert first[0].tolist() == [2.0] and third[0].tolist() == [6.0]
    assert isinstance(second, ServingError) and not batcher._running
    assert len(batcher._free) == batcher.limits.num_batch_threads


@pytest.mark.parametrize(
    "case", ["a loop at work", "two rows", "a slow model", "one that waits for company", "others run"]
)
def test_who_may_keep_others_waiting_is_not(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model, batcher, lane = asked(batch_timeout_micros=1000 * (case == "one that waits for company"))
    monkeypatch.setattr(IdleLoop, "waited", case != "a loop at work")
    if case == "a slow model":
        lane.took(1, 60.0)
    if case == "others run":
        batcher._begin(batcher._free.pop(), Lane("other", model, True), 1)
    rows = [1.0] * (1 + (case == "two rows"))
    assert asyncio.run(batcher.answer(lane, task(*rows)))[0].tolist() == [2.0] * len(rows)
    assert model.seen[0].startswith("batch-")


def test_who_had_company_lately_is_not_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batching, "_SHORT", math.inf)
    monkeypatch.setattr(batching, "_LATELY", 3600.0)
    model, batcher, lane = asked()

    async def crowded_then_idle() -> None:
        for waited in (False, True):
            monkeypatch.setattr(IdleLoop, "waited", waited)
            await batcher.answer(lane, task(1.0))
            until(lambda: not batcher._running)  # a thread that has answered has yet to put its slot back
        batcher._crowded -= 3600.0
        await batcher.answer(lane, task(1.0))

    asyncio.run(crowded_then_idle())
    assert [name.startswith("batch-") for name in model.seen] == [True, True, False]


def test_a_loop_that_did_nothing_for_a_while_has_waited() -> None:
    loop = IdleLoop()
    loop.answered()
    time.sleep(0.01)  # the loop waits, and works for nobody
    assert loop.waited
