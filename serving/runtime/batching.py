"""Dynamic batching without a thread of its own: the request that finds a free slot runs at once, with its own thread,
and those that arrive meanwhile are run together by the first of them when a slot is free again."""

from __future__ import annotations

import enum
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from serving.runtime.errors import ServingError, exhausted, of_exception, too_late

Arrays = list[np.ndarray]
_LONGEST_WAIT = 86_400.0  # gRPC writes "no deadline" as one in thousands of years


@dataclass(frozen=True)
class BatchingLimits:
    """TensorFlow Serving's batching parameters."""

    max_batch_size: int = 64  # rows
    batch_timeout_micros: int = 0  # how long a first request waits for company
    max_enqueued_batches: int = 64  # what may wait, in full batches
    num_batch_threads: int = 2  # batches that run at a time


class BatchRecord(Protocol):
    """Who wants to know of batches."""

    def batch(self, lane: str, rows: int, requests: int, waited_seconds: float) -> None:
        """A batch of some rows of some requests is about to run; its first had waited this long."""


class _State(enum.Enum):
    WAITING, LEADING, RUNNING, GONE = range(4)


class Task:
    """One request in a lane."""

    __slots__ = ("alive", "arrays", "error", "outputs", "queued", "rows", "state", "wake")

    def __init__(self, arrays: Arrays, rows: int, alive: Callable[[], bool]) -> None:
        self.arrays, self.rows, self.alive = arrays, rows, alive
        self.outputs: Arrays | None = None
        self.error: ServingError | None = None
        self.state = _State.WAITING
        self.queued = time.monotonic()
        self.wake = threading.Lock()
        self.wake.acquire()


class Lane:
    """The requests to one signature of one version; only they can share a batch."""

    def __init__(self, name: str, call: Callable[..., Arrays], batchable: bool) -> None:
        self.name, self.call, self.batchable = name, call, batchable
        self.tasks: deque[Task] = deque()
        self.rows = 0
        self.listed = False
        self.gathering = 0  # rows that a leader who waits for company has room for
        self.full = threading.Lock()
        self.full.acquire()


class Batcher:
    """Runs tasks of all lanes, a bounded number of batches at a time, lanes in turn."""

    def __init__(self, limits: BatchingLimits, record: BatchRecord | None = None) -> None:
        self._limits, self._record = limits, record
        self._free = limits.num_batch_threads
        self._lock = threading.Lock()
        self._lanes: deque[Lane] = deque()  # those where somebody waits

    def run(self, lane: Lane, task: Task, timeout: float | None) -> Arrays:
        """Answers a task with the caller's thread or another's, within `timeout` seconds of waiting."""
        with self._lock:
            if self._free and not lane.gathering:
                self._free -= 1
                task.state = _State.LEADING
            else:
                self._queue(lane, task)
        if task.state is not _State.LEADING:
            self._wait(task, timeout)
        if task.state is _State.LEADING:
            self._lead(lane, task)
        if task.error is not None:
            raise task.error
        assert task.outputs is not None
        return task.outputs

    def _queue(self, lane: Lane, task: Task) -> None:
        if lane.rows + task.rows > self._limits.max_enqueued_batches * self._limits.max_batch_size:
            raise exhausted(f"The batch scheduling queue of {lane.name} is full: {lane.rows} rows wait")
        lane.tasks.append(task)
        lane.rows += task.rows
        if not lane.gathering:
            self._list(lane)
        if lane.gathering and lane.rows >= lane.gathering and lane.full.locked():
            lane.full.release()

    def _list(self, lane: Lane) -> None:
        if not lane.listed:
            lane.listed = True
            self._lanes.append(lane)

    def _wait(self, task: Task, timeout: float | None) -> None:
        longest = -1 if timeout is None or timeout > _LONGEST_WAIT else max(0.0, timeout)
        if task.wake.acquire(timeout=longest):
            return
        with self._lock:
            if task.state is _State.WAITING:
                task.state = _State.GONE
                raise too_late("the deadline passed while the request waited for its batch")
        task.wake.acquire()  # it is being run: its outcome is near

    def _lead(self, lane: Lane, task: Task) -> None:
        batch = [task]
        try:
            if lane.batchable:
                self._gather(lane, batch)
            self._execute(lane, batch)
        finally:
            self._pass_on()
            for other in batch[1:]:
                other.wake.release()

    def _gather(self, lane: Lane, batch: list[Task]) -> None:
        """Takes along who waits and fits, in order."""
        wait = self._limits.batch_timeout_micros
        room = self._limits.max_batch_size - batch[0].rows
        if wait and lane.rows < room:
            self._await_company(lane, room, wait / 1e6)
        rows = batch[0].rows
        with self._lock:
            while lane.tasks and rows + lane.tasks[0].rows <= self._limits.max_batch_size:
                task = self._pop(lane)
                if task.state is _State.WAITING and task.alive():
                    task.state = _State.RUNNING
                    rows += task.rows
                    batch.append(task)
                elif task.state is _State.WAITING:
                    self._drop(task)

    def _await_company(self, lane: Lane, room: int, seconds: float) -> None:
        with self._lock:
            if lane.gathering or lane.rows >= room:
                return
            lane.gathering = room
        lane.full.acquire(timeout=seconds)
        with self._lock:
            lane.gathering = 0
            if not lane.full.locked():
                lane.full.acquire()
            if lane.tasks:
                self._list(lane)

    def _pop(self, lane: Lane) -> Task:
        task = lane.tasks.popleft()
        lane.rows -= task.rows
        return task

    def _drop(self, task: Task) -> None:
        """Nobody waits for it any more; its thread learns that too."""
        task.state = _State.GONE
        task.error = too_late("the client went away while the request waited for its batch")
        task.wake.release()

    def _pass_on(self) -> None:
        """Gives the slot to the first who waits in the next lane, else sets it free."""
        with self._lock:
            while self._lanes:
                lane = self._lanes.popleft()
                lane.listed = False
                while lane.tasks:
                    task = self._pop(lane)
                    if task.state is not _State.WAITING:
                        continue
                    if not task.alive():
                        self._drop(task)
                        continue
                    task.state = _State.LEADING
                    if lane.tasks:
                        self._list(lane)
                    task.wake.release()
                    return
            self._free += 1

    def _execute(self, lane: Lane, batch: list[Task]) -> None:
        if self._record is not None:
            rows = sum(task.rows for task in batch)
            self._record.batch(lane.name, rows, len(batch), time.monotonic() - batch[0].queued)
        try:
            if len(batch) == 1:
                batch[0].outputs = lane.call(*batch[0].arrays)
            else:
                _run_together(lane, batch)
        except Exception as error:
            if len(batch) == 1:
                batch[0].error = of_exception(error)
            else:
                _run_apart(lane, batch)


def _run_together(lane: Lane, batch: list[Task]) -> None:
    merged = [np.concatenate(arrays) for arrays in zip(*(task.arrays for task in batch), strict=True)]
    outputs = lane.call(*merged)
    start = 0
    for task in batch:
        end = start + task.rows
        task.outputs = [array[start:end] for array in outputs]
        start = end


def _run_apart(lane: Lane, batch: list[Task]) -> None:
    """One request's fault must not be its neighbours'."""
    for task in batch:
        try:
            task.outputs = lane.call(*task.arrays)
        except Exception as error:
            task.error = of_exception(error)
