"""What the server counts and measures of itself, for Prometheus, under TensorFlow Serving's names."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Metric,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

DEFAULT_PATH = "/monitoring/prometheus/metrics"
CONTENT_TYPE = CONTENT_TYPE_LATEST
_SERVING, _SAVED_MODEL = ":tensorflow:serving:", ":tensorflow:cc:saved_model:"
_MICROSECONDS = [10 * 1.8**i for i in range(33)]
_ROWS = [2.0**i for i in range(15)]
# prometheus_client ends a counter's name in `_total`; TensorFlow Serving's names end as they are.
_COUNTER_ENDING = re.compile(rb"^((?:# (?:HELP|TYPE) )?:tensorflow:[\w:]+)_total\b", re.MULTILINE)


class Metrics:
    """Of one server. Each attribute takes the values of its labels and gives their cached counter or histogram.

    >>> metrics.requests("retrieval", "OK").inc()
    """

    def __init__(self) -> None:
        disable_created_metrics()
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.requests = self._counter(f"{_SERVING}request_count", "Requests.", "model_name", "status")
        self.request_latency = self._histogram(
            f"{_SERVING}request_latency",
            "Microseconds of a request, from its arrival to its answer.",
            _MICROSECONDS,
            *("model_name", "API", "entrypoint"),
        )
        self.runtime_latency = self._histogram(
            f"{_SERVING}runtime_latency",
            "Microseconds of a request in its queue and in TensorFlow.",
            _MICROSECONDS,
            *("model_name", "API", "runtime"),
        )
        self.queuing_latency = self._histogram(
            f"{_SERVING}batching_session:queuing_latency",
            "Microseconds that a batch's first request waited.",
            _MICROSECONDS,
            "batch",
        )
        self.batch_rows = self._histogram(
            f"{_SERVING}batching_session:processed_batch_size", "Rows of a batch.", _ROWS, "batch"
        )
        self.examples = self._histogram(f"{_SERVING}request_example_counts", "Rows of a request.", _ROWS, "model")
        self.warmup_latency = self._histogram(
            f"{_SERVING}model_warmup_latency",
            "Microseconds of a version's warm-up.",
            _MICROSECONDS,
            *("model_path", "status"),
        )
        self.load_attempts = self._counter(
            f"{_SAVED_MODEL}load_attempt_count", "Loads of a version.", "model_path", "status"
        )
        self.load_latency = self._counter(f"{_SAVED_MODEL}load_latency", "Microseconds spent on loads.", "model_path")

    def in_flight(self, count: Callable[[], float]) -> None:
        """Shows how many requests are being answered."""
        gauge = Gauge(f"{_SERVING}requests_in_flight", "Requests being answered.", registry=self.registry)
        gauge.set_function(count)

    def available(self, versions: Callable[[], dict[str, list[int]]]) -> None:
        """Shows the versions that answer, by model."""
        self.registry.register(_Available(versions))

    def batch(self, lane: str, rows: int, requests: int, waited_seconds: float) -> None:
        """A batch is about to run."""
        self.queuing_latency(lane).observe(waited_seconds * 1e6)
        self.batch_rows(lane).observe(rows)

    def text(self) -> bytes:
        """Prometheus' exposition format."""
        return _COUNTER_ENDING.sub(rb"\1", generate_latest(self.registry))

    def _counter(self, name: str, help_text: str, *labels: str) -> Callable[..., Counter]:
        return functools.cache(Counter(name, help_text, labels, registry=self.registry).labels)

    def _histogram(self, name: str, help_text: str, buckets: list[float], *labels: str) -> Callable[..., Histogram]:
        histogram = Histogram(name, help_text, labels, registry=self.registry, buckets=buckets)
        return functools.cache(histogram.labels)


class _Available(Collector):
    """The versions that answer, read when they are asked for: those that went are not shown."""

    def __init__(self, versions: Callable[[], dict[str, list[int]]]) -> None:
        self._versions = versions

    def collect(self) -> Iterator[Metric]:
        family = GaugeMetricFamily(
            f"{_SERVING}model_version_available", "Versions that answer.", labels=("model_name", "version")
        )
        for name, versions in self._versions().items():
            for version in versions:
                family.add_metric((name, str(version)), 1)
        yield family
