"""Tuned, not guessed: the cheapest effort whose recall against exact search reaches the target."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import progress
from serving.config import TuningConfig
from serving.index.base import Effort, Index

_BATCH = 64
_STRIDE = 4  # places of a way in one step up, before the last step is halved: to open every leaf takes long
_ONE_SIDED_95 = 1.645  # standard errors
_TIMED = 50  # single queries a latency is the median of
SPARE = 1.25  # candidates over k, so that a few tombstones do not send a request to look harder


class Recalls(NamedTuple):
    """Recall of the exact answer at k, over a sample of queries."""

    mean: float
    lower: float  # the lower end of the mean's interval: 95 % of samples like this one have their mean above it
    p10: float  # nine queries of ten have at least this
    worst: float

    def described(self) -> dict[str, float]:
        """For the manifest."""
        return {name: round(value, 5) for name, value in self._asdict().items()}


class Point(NamedTuple):
    """One setting and what it gives."""

    effort: Effort
    recalls: Recalls
    latency_ms: float  # one query alone

    @property
    def recall(self) -> float:
        """The mean."""
        return self.recalls.mean

    def described(self) -> dict[str, Any]:
        """For the manifest."""
        others = {f"recall_{name}": value for name, value in self.recalls.described().items() if name != "mean"}
        figures = {"recall": round(self.recall, 5), **others, "latency_ms": round(self.latency_ms, 4)}
        return {**self.effort._asdict(), **figures}


class Tuned(NamedTuple):
    """What was chosen."""

    chosen: Point
    curve: list[Point]
    k: int
    reached: bool
    unseen: Recalls | None = None  # of the chosen setting, on queries that it was not chosen by


def tune(index: Index, queries: np.ndarray, truth: np.ndarray, config: TuningConfig) -> Tuned:
    """Searches an index's efforts; one reaches the target if the lower end of its recall's interval does.

    The fewest leaves that reach the target are found, in strides and then in halves, along the way that reorders the
    most. From there on, for each way that reorders less, more leaves are tried as long as that is no slower than what
    was found. Of all that reach the target the quickest is chosen; where none does, the best is.

    Args:
      index: to be tuned.
      queries: float32 `[Q, dim]`, held out from training.
      truth: int32 `[Q, k]`, the rows of their exact answers.
      config: the target.
    """
    k = truth.shape[1]
    measured: dict[Effort, Point] = {}
    ways = index.efforts(k)
    with progress("settings tried", total=None) as bar:

        def measure(effort: Effort) -> Point:
            if effort not in measured:
                measured[effort] = _measure(index, effort, queries, truth)
                bar.advance()
            return measured[effort]

        fewest = _fewest(ways[0], measure, config.target_recall)
        quickest = measure(ways[0][fewest])
        for way in ways[1:] if quickest.recalls.lower >= config.target_recall else []:
            found = _climb(way[fewest:], measure, config.target_recall, quickest.latency_ms)
            quickest = min(quickest, found or quickest, key=lambda point: point.latency_ms)
    curve = sorted(measured.values())
    reached = quickest.recalls.lower >= config.target_recall
    chosen = quickest if reached else max(curve, key=lambda point: point.recalls.lower)
    return Tuned(chosen, curve, k, reached)


def _fewest(way: list[Effort], measure: Callable[[Effort], Point], target: float) -> int:
    """The place in a way of ever more leaves of the least that reaches the target; the last where none before does."""
    last = len(way) - 1
    low, high = 0, min(_STRIDE, last)
    while high < last and measure(way[high]).recalls.lower < target:
        low, high = high + 1, min(high + _STRIDE, last)
    while low < high:
        middle = (low + high) // 2
        if measure(way[middle]).recalls.lower >= target:
            high = middle
        else:
            low = middle + 1
    return high


def _climb(way: list[Effort], measure: Callable[[Effort], Point], target: float, latency_ms: float) -> Point | None:
    """The first of a way that reaches the target, if that takes no longer than `latency_ms`."""
    for effort in way:
        point = measure(effort)
        if point.latency_ms > latency_ms:
            return None
        if point.recalls.lower >= target:
            return point
    return None


def recalls_of(found: np.ndarray, truth: np.ndarray) -> Recalls:
    """Of the exact answers `[Q, k]` those among `[Q, n]` that are found."""
    hits = [len(set(one.tolist()) & set(other.tolist())) for one, other in zip(found, truth, strict=True)]
    shares = np.array(hits) / truth.shape[1]
    mean = float(shares.mean())
    error = float(shares.std(ddof=1)) / math.sqrt(len(shares)) if len(shares) > 1 else 0.0
    return Recalls(mean, mean - _ONE_SIDED_95 * error, float(np.quantile(shares, 0.1)), float(shares.min()))


def measured_recalls(index: Index, effort: Effort, queries: np.ndarray, truth: np.ndarray) -> Recalls:
    """Of an index's search for float32 `[Q, dim]`."""
    search = _search(index, effort)
    return recalls_of(np.concatenate([search(tf.constant(part)).numpy() for part in _parts(queries)]), truth)


def _search(index: Index, effort: Effort) -> Callable[[tf.Tensor], tf.Tensor]:
    return tf.function(
        lambda one: index.search(one, effort)[1],
        input_signature=[tf.TensorSpec([None, index.dim], tf.float32)],
        autograph=False,
    )


def _measure(index: Index, effort: Effort, queries: np.ndarray, truth: np.ndarray) -> Point:
    search = _search(index, effort)
    recalls = recalls_of(np.concatenate([search(tf.constant(part)).numpy() for part in _parts(queries)]), truth)
    times = []
    for query in queries[: _TIMED + 5]:
        one = tf.constant(query[None, :])
        begin = time.perf_counter()
        search(one)
        times.append(time.perf_counter() - begin)
    return Point(effort, recalls, 1e3 * float(np.median(times[5:] or times)))


def _parts(queries: np.ndarray) -> list[np.ndarray]:
    return [queries[begin : begin + _BATCH] for begin in range(0, len(queries), _BATCH)]


def plot_tuning(tuned: Tuned, target: float, path: Path) -> None:
    """Recall against latency as an SVG: one dot a setting, the chosen one filled; equal figures give equal bytes."""
    from matplotlib import rc_context  # half a second, which `--help` does not wait for
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.axhline(target, color="tab:red", linestyle="--", linewidth=0.8, label=f"target {target:g}")
    for number, point in enumerate(tuned.curve):
        fill = "full" if point == tuned.chosen else "none"
        axes.plot(point.latency_ms, point.recall, "o", color="tab:blue", fillstyle=fill, gid=f"setting-{number}")
        axes.annotate(f" {point.effort.leaves}/{point.effort.reorder}", (point.latency_ms, point.recall), fontsize=6)
    axes.set(xlabel="ms, one query (leaves/reordered)", ylabel=f"recall@{tuned.k} of the exact answer", xscale="log")
    axes.legend()
    with rc_context({"svg.hashsalt": "tuning"}):
        figure.savefig(path, format="svg", metadata={"Date": None})


def served_effort(tuned: Tuned) -> Effort:
    """The chosen effort with some candidates to spare."""
    effort = tuned.chosen.effort
    candidates = round(effort.candidates * SPARE)
    return effort._replace(candidates=candidates, reorder=max(effort.reorder, candidates) if effort.reorder else 0)
