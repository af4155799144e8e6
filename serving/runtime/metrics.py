"""Counters and histograms under TensorFlow Serving's names, in Prometheus' text format."""

from __future__ import annotations

import bisect
import threading
import time
from collections.abc import Callable, Iterator

DEFAULT_PATH = "/monitoring/prometheus/metrics"
Labels = tuple[str, ...]


def exponential(first: float, growth: float, count: int) -> list[float]:
    """TensorFlow's exponential bucket limits."""
    return [first * growth**i for i in range(count)]


_MICROSECONDS = exponential(10, 1.8, 33)
_ROWS = exponential(1, 2, 15)


class Counter:
    """A number that only grows, by labels."""

    kind = "counter"

    def __init__(self, name: str, help_text: str, labels: Labels) -> None:
        self.name, self.help, self.labels = name, help_text, labels
        self._values: dict[Labels, float] = {}
        self._lock = threading.Lock()

    def add(self, *labels: str, by: float = 1) -> None:
        """Counts."""
        with self._lock:
            self._values[labels] = self._values.get(labels, 0) + by

    def lines(self) -> Iterator[str]:
        """The samples."""
        with self._lock:
            values = dict(self._values)
        for labels, value in values.items():
            yield f"{self.name}{_braces(self.labels, labels)} {_number(value)}"


class Gauge:
    """Numbers that are read when asked for."""

    kind = "gauge"

    def __init__(self, name: str, help_text: str, labels: Labels, read: Callable[[], dict[Labels, float]]) -> None:
        self.name, self.help, self.labels, self._read = name, help_text, labels, read

    def lines(self) -> Iterator[str]:
        """The samples."""
        for labels, value in self._read().items():
            yield f"{self.name}{_braces(self.labels, labels)} {_number(value)}"


class Histogram:
    """How a measure spreads, by labels."""

    kind = "histogram"

    def __init__(self, name: str, help_text: str, labels: Labels, limits: list[float]) -> None:
        self.name, self.help, self.labels, self._limits = name, help_text, labels, limits
        self._cells: dict[Labels, list[float]] = {}  # a count for each bucket, then the sum
        self._lock = threading.Lock()

    def add(self, value: float, *labels: str) -> None:
        """Takes one measure in."""
        place = bisect.bisect_left(self._limits, value)
        with self._lock:
            cell = self._cells.get(labels)
            if cell is None:
                cell = self._cells[labels] = [0.0] * (len(self._limits) + 2)
            cell[place] += 1
            cell[-1] += value

    def lines(self) -> Iterator[str]:
        """Cumulative buckets, sum and count."""
        with self._lock:
            cells = {labels: list(cell) for labels, cell in self._cells.items()}
        names = (*self.labels, "le")
        for labels, cell in cells.items():
            seen = 0.0
            for limit, count in zip([*map(_number, self._limits), "+Inf"], cell, strict=False):
                seen += count
                yield f"{self.name}_bucket{_braces(names, (*labels, limit))} {_number(seen)}"
            yield f"{self.name}_sum{_braces(self.labels, labels)} {_number(cell[-1])}"
            yield f"{self.name}_count{_braces(self.labels, labels)} {_number(seen)}"


class Metrics:
    """All that the server measures of itself."""

    def __init__(self) -> None:
        serving = ":tensorflow:serving:"
        self.requests = Counter(f"{serving}request_count", "Requests.", ("model_name", "status"))
        self.request_latency = Histogram(
            f"{serving}request_latency",
            "Microseconds of a request, from its arrival to its answer.",
            ("model_name", "API", "entrypoint"),
            _MICROSECONDS,
        )
        self.runtime_latency = Histogram(
            f"{serving}runtime_latency",
            "Microseconds of a request in its queue and in TensorFlow.",
            ("model_name", "API", "runtime"),
            _MICROSECONDS,
        )
        self.queuing_latency = Histogram(
            f"{serving}batching_session:queuing_latency",
            "Microseconds that a batch's first request waited.",
            ("batch",),
            _MICROSECONDS,
        )
        self.batch_rows = Histogram(
            f"{serving}batching_session:processed_batch_size", "Rows of a batch.", ("batch",), _ROWS
        )
        self.examples = Histogram(f"{serving}request_example_counts", "Rows of a request.", ("model",), _ROWS)
        self.warmup_latency = Histogram(
            f"{serving}model_warmup_latency",
            "Microseconds of a version's warm-up.",
            ("model_path", "status"),
            _MICROSECONDS,
        )
        self.load_attempts = Counter(
            ":tensorflow:cc:saved_model:load_attempt_count", "Loads of a version.", ("model_path", "status")
        )
        self.load_latency = Counter(
            ":tensorflow:cc:saved_model:load_latency", "Microseconds spent on loads.", ("model_path",)
        )
        started = time.time()
        self.start = Gauge("process_start_time_seconds", "When the server began.", (), lambda: {(): started})
        self._extra: list[Gauge] = []

    def gauge(self, name: str, help_text: str, labels: Labels, read: Callable[[], dict[Labels, float]]) -> None:
        """Shows numbers that somebody else holds."""
        self._extra.append(Gauge(name, help_text, labels, read))

    def batch(self, lane: str, rows: int, requests: int, waited_seconds: float) -> None:
        """A batch is about to run."""
        self.queuing_latency.add(waited_seconds * 1e6, lane)
        self.batch_rows.add(rows, lane)

    def text(self) -> str:
        """Prometheus' exposition format."""
        lines: list[str] = []
        own = [one for one in vars(self).values() if isinstance(one, Counter | Gauge | Histogram)]
        for one in [*own, *self._extra]:
            lines += [f"# HELP {one.name} {one.help}", f"# TYPE {one.name} {one.kind}", *one.lines()]
        return "\n".join(lines) + "\n"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.10g}"


def _braces(names: Labels, values: Labels) -> str:
    if not names:
        return ""
    escaped = (one.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n") for one in values)
    return "{" + ",".join(f'{name}="{value}"' for name, value in zip(names, escaped, strict=True)) + "}"
