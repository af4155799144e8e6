"""Dynamic batching: a request that finds nothing running runs at once, those that arrive meanwhile run together."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from serving.runtime.batch_arrays import Arrays, merged, split
from serving.runtime.idle_loop import IdleLoop
from serving.runtime.lanes import Lane, Task, late
from serving.runtime.status import of_exception, unavailable

# Seconds. Whoever finds a batch running that takes less than this waits for it: one more call of the graph beside it
# would cost more.
_SHORT = 0.002
_LATELY = 0.02  # seconds


@dataclass(frozen=True)
class BatchingLimits:
    """TensorFlow Serving's batching parameters."""

    max_batch_size: int = 64  # rows
    batch_timeout_micros: int = 0  # how long a first request waits for company
    max_enqueued_batches: int = 64  # what may wait, in full batches
    num_batch_threads: int = 2  # batches that run at a time
    allowed_batch_sizes: tuple[int, ...] = ()  # to the next of which a batch is filled up; any size without them

    @property
    def bulk(self) -> int:
        """Rows: a request of more keeps its slot so long that others must have one left."""
        return max(self.max_batch_size, BatchingLimits.max_batch_size)


class BatchRecord(Protocol):
    """Who wants to know of batches."""

    def batch(self, lane: str, rows: int, requests: int, waited_seconds: float) -> None:
        """A batch of some rows of some requests is about to run; its first had waited this long."""


class Running(NamedTuple):
    """A batch in its slot."""

    lane: Lane
    rows: int
    began: float
    expected: float  # seconds


class Batcher:
    """Runs tasks of all lanes, a bounded number of batches at a time, lanes in turn."""

    def __init__(self, limits: BatchingLimits, record: BatchRecord | None = None) -> None:
        self.limits, self._record = limits, record
        self._slots = [ThreadPoolExecutor(1, f"batch-{number}") for number in range(limits.num_batch_threads)]
        self._free = list(self._slots)  # the last is the one that worked last: its memory is the warmest
        self._lock = threading.Lock()
        self._loop = IdleLoop()
        self._crowded = -math.inf  # when a request last had company
        self._lanes: deque[Lane] = deque()  # those where somebody waits
        self._running: dict[ThreadPoolExecutor, Running] = {}
        self._most_bulk = max(1, limits.num_batch_threads - 1)  # slots for requests larger than a batch

    def run(self, lane: Lane, task: Task) -> Arrays:
        """A task's outputs, for a thread that can wait for them."""
        told = threading.Event()
        task.told = told.set
        self._submit(lane, task)
        left = None if task.deadline is None else max(0.0, task.deadline - time.monotonic())
        if not told.wait(left):
            task.gone = True
            raise late()
        return task.outcome()

    async def answer(self, lane: Lane, task: Task) -> Arrays:
        """A task's outputs, for a coroutine that is cancelled when they come too late."""
        if slot := self._slot_of_one_alone(lane, task):
            self._run_here(slot, lane, task)
        else:
            await self._told(lane, task)
        self._loop.answered()
        return task.outcome()

    async def _told(self, lane: Lane, task: Task) -> None:
        """Submits a task and waits for what becomes of it."""
        loop = asyncio.get_running_loop()
        told = loop.create_future()
        task.told = lambda: loop.call_soon_threadsafe(_wake, told)
        self._submit(lane, task)
        try:
            await told
        except asyncio.CancelledError:
            task.gone = True
            raise

    def _slot_of_one_alone(self, lane: Lane, task: Task) -> ThreadPoolExecutor | None:
        """The slot of a short request to an idle server, which the loop's own thread may run: nothing is handed over.

        Nobody else is taken in meanwhile, so it is not for those who had company lately, nor for more than one row.
        """
        now = time.monotonic()
        if self._running or not self._loop.waited:
            self._crowded = now
        short = task.rows == 1 and lane.expected(1) < _SHORT
        if not short or self.limits.batch_timeout_micros or now - self._crowded < _LATELY:
            return None
        with self._lock:
            if self._running or self._lanes or not self._free:
                return None
            slot = self._free.pop()
            self._begin(slot, lane, task.rows)
        return slot

    def _run_here(self, slot: ThreadPoolExecutor, lane: Lane, task: Task) -> None:
        began = time.monotonic()
        self._execute(lane, [task], task.rows)
        lane.took(task.rows, time.monotonic() - began)
        with self._lock:
            others = bool(self._lanes)  # from other threads
            if not others:
                self._release(slot)
        if others:
            slot.submit(self._work, slot)

    def _release(self, slot: ThreadPoolExecutor) -> None:
        del self._running[slot]
        self._free.append(slot)

    def close(self) -> None:
        """Ends its threads when nothing is submitted any more."""
        for slot in self._slots:
            slot.shutdown()

    def _submit(self, lane: Lane, task: Task) -> None:
        with self._lock:
            ready = self._free and not lane.gathering and self._may_run(lane)
            slot = self._free.pop() if ready and not self._worth_waiting(lane, lane.rows + task.rows) else None
            if not slot and lane.rows + task.rows > self.limits.max_enqueued_batches * self.limits.max_batch_size:
                raise unavailable(
                    f"The batch scheduling queue to which this task was submitted is full: {lane.rows} rows of "
                    f"{lane.name} wait"
                )
            if slot:
                self._begin(slot, lane, lane.rows + task.rows)
            lane.tasks.append(task)
            lane.rows += task.rows
            if not lane.gathering:
                self._list(lane)
            elif lane.rows >= lane.gathering:
                lane.full.set()
        if slot:
            slot.submit(self._work, slot)

    def _list(self, lane: Lane) -> None:
        if not lane.listed:
            lane.listed = True
            self._lanes.append(lane)

    def _work(self, slot: ThreadPoolExecutor) -> None:
        """One slot at work until nobody waits."""
        while first := self._next(slot):
            lane, task = first
            batch = [task]
            if lane.batchable:
                self._gather(lane, batch)
            rows = sum(one.rows for one in batch)
            with self._lock:
                self._begin(slot, lane, rows)
            began = time.monotonic()
            self._execute(lane, batch, rows)
            lane.took(rows, time.monotonic() - began)

    def _begin(self, slot: ThreadPoolExecutor, lane: Lane, rows: int) -> None:
        self._running[slot] = Running(lane, rows, time.monotonic(), lane.expected(rows))

    def _may_run(self, lane: Lane, slot: ThreadPoolExecutor | None = None) -> bool:
        """Whether a lane may have one more slot, or keep this one: bulk leaves one to the others."""
        bulk = sum(batch.lane.bulk for other, batch in self._running.items() if other is not slot)
        return not lane.bulk or bulk < self._most_bulk

    def _worth_waiting(self, lane: Lane, rows: int) -> bool:
        """Whether so many rows better wait for a batch that runs than begin beside it in a free slot.

        They do for a short one, and for a larger one of their own lane that is over before theirs would be: so slots
        share the rows evenly at any model's speed, and nobody waits long. A batch that has taken twice what was
        expected is not waited for.
        """
        now, own = time.monotonic(), lane.expected(rows)
        for batch in self._running.values():
            spent = now - batch.began
            if spent > 2 * max(batch.expected, _SHORT):
                continue
            if batch.expected < _SHORT:
                return True
            if batch.lane is lane and batch.rows > rows and batch.expected - spent < own:
                return True
        return False

    def _gather(self, lane: Lane, batch: list[Task]) -> None:
        """Takes along who waits and fits, in order."""
        wait = self.limits.batch_timeout_micros
        room = self.limits.max_batch_size - batch[0].rows
        if wait and lane.rows < room:
            self._await_company(lane, room, wait / 1e6)
        with self._lock:
            while lane.tasks and lane.tasks[0].rows <= room:
                task = self._pop(lane)
                if task.wanted():
                    room -= task.rows
                    batch.append(task)

    def _await_company(self, lane: Lane, room: int, seconds: float) -> None:
        with self._lock:
            if lane.gathering or lane.rows >= room:
                return
            lane.gathering = room
            lane.full.clear()
        lane.full.wait(seconds)
        with self._lock:
            lane.gathering = 0
            if lane.tasks:
                self._list(lane)

    def _pop(self, lane: Lane) -> Task:
        task = lane.tasks.popleft()
        lane.rows -= task.rows
        return task

    def _next(self, slot: ThreadPoolExecutor) -> tuple[Lane, Task] | None:
        """The first who waits in the next lane; without one the slot is free."""
        with self._lock:
            for _ in range(len(self._lanes)):
                lane = self._lanes.popleft()
                if not self._may_run(lane, slot):
                    self._lanes.append(lane)
                    continue
                lane.listed = False
                while lane.tasks:
                    task = self._pop(lane)
                    if task.wanted():
                        if lane.tasks:
                            self._list(lane)
                        return lane, task
            self._release(slot)
            return None

    def _execute(self, lane: Lane, batch: list[Task], rows: int) -> None:
        if self._record is not None:
            self._record.batch(lane.name, rows, len(batch), time.monotonic() - batch[0].queued)
        try:
            outcomes = self._outcomes(lane, batch, rows)
        except Exception as error:
            if len(batch) == 1:
                batch[0].end(error=of_exception(error))
            else:
                for task in batch:  # one request's fault must not be its neighbours'
                    self._execute(lane, [task], task.rows)
            return
        for task, outputs in zip(batch, outcomes, strict=True):
            task.end(outputs)

    def _outcomes(self, lane: Lane, batch: list[Task], rows: int) -> list[Arrays]:
        """The outputs of each task of a batch."""
        size = next((one for one in self.limits.allowed_batch_sizes if one >= rows), rows) if lane.batchable else rows
        if len(batch) == 1 and size == rows:
            return [lane.call(*batch[0].arrays)]
        outputs = lane.call(*merged([task.arrays for task in batch], size - rows))
        if any(array.shape[:1] != (size,) for array in outputs):
            lane.batchable = False  # its outputs are not a row for a row: from now on each request runs alone
            raise ValueError(f"{lane.name} gives no row for each row")
        return split(outputs, [task.rows for task in batch])


def _wake(told: asyncio.Future[None]) -> None:
    if not told.done():  # it may be cancelled meanwhile
        told.set_result(None)
