"""One index in a process of its own, for `benchmarks.index`: built, tuned, then timed whenever it is asked."""

from __future__ import annotations

import importlib
import json
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np

K = 100
Search = Callable[[np.ndarray], np.ndarray]  # float32 [B, dim] -> rows [B, K], as numbers or as strings of them
Settings = dict[str, Any]


class Tuned(NamedTuple):
    """What was chosen, what else was tried, and the searches to be timed: `search`, and others beside it."""

    chosen: Settings
    curve: list[Settings]
    reached: bool
    searches: dict[str, Search]


class Subject(Protocol):
    """An index over the vectors."""

    bytes: int

    def tuned(self, queries: np.ndarray, truth: np.ndarray, target: float) -> Tuned:
        """The quickest setting whose recall reaches the target."""
        ...


class Climber:
    """An index with ways to search it, each from the cheapest setting to the dearest; `use` sets one."""

    def __init__(self, ways: Sequence[Sequence[Settings]], use: Callable[[Settings], None], search: Search, size: int):
        self._ways, self._use, self._search, self.bytes = ways, use, search, size

    def tuned(self, queries: np.ndarray, truth: np.ndarray, target: float) -> Tuned:
        """Goes up each way until the target is reached; the quickest of those that reach it is chosen."""
        curve = []
        for way in self._ways:
            for setting in way:
                self._use(setting)
                curve.append({**setting, "recall": recall(self._search, queries, truth)})
                curve[-1]["single_ms"] = milliseconds(self._search, queries, 1, 20)
                if curve[-1]["recall"] >= target:
                    break
        reaching = [point for point in curve if point["recall"] >= target]
        best = min(reaching, key=_time) if reaching else max(curve, key=lambda point: point["recall"])
        chosen = {name: value for name, value in best.items() if name not in ("recall", "single_ms")}
        self._use(chosen)
        return Tuned(chosen, curve, bool(reaching), {"search": self._search})


def _time(point: Settings) -> float:
    return point["single_ms"]


# name -> the module that has it, and what has to be loaded before its memory is counted
SUBJECTS = {
    "brute_force": ("benchmarks.index_served", ("tensorflow",)),
    "scann": ("benchmarks.index_served", ("tensorflow", "scann")),
    "portable": ("benchmarks.index_served", ("tensorflow",)),
    "faiss_ivf_pq": ("benchmarks.index_rivals", ("faiss",)),
    "faiss_hnsw": ("benchmarks.index_rivals", ("faiss",)),
    "hnswlib": ("benchmarks.index_rivals", ("hnswlib",)),
}


def recall(search: Search, queries: np.ndarray, truth: np.ndarray) -> float:
    """The share of the exact answers that are found."""
    found = np.concatenate([search(part) for part in _parts(queries, 32)])
    if found.dtype.hasobject:
        from benchmarks.made_items import rows_of  # whose TensorFlow is no part of what a rival's process holds

        found = rows_of(found)
    shared = [len(np.intersect1d(one, other)) for one, other in zip(found, truth, strict=True)]
    return round(float(np.mean(shared)) / truth.shape[1], 4)


def milliseconds(search: Search, queries: np.ndarray, batch: int, times: int) -> float:
    """The median time of one call."""
    taken = []
    for number in range(times + 3):
        begin = (number * batch) % (len(queries) - batch + 1)
        part = np.ascontiguousarray(queries[begin : begin + batch])
        started = time.perf_counter()
        search(part)
        taken.append(time.perf_counter() - started)
    return round(1e3 * statistics.median(taken[3:]), 4)


def _parts(queries: np.ndarray, size: int) -> Iterator[np.ndarray]:
    return (np.ascontiguousarray(queries[begin : begin + size]) for begin in range(0, len(queries), size))


def _memory_mb(field: str) -> float:
    """VmRSS or VmHWM, the most since it was last forgotten."""
    found = re.search(rf"{field}:\s+(\d+)", Path("/proc/self/status").read_text())
    assert found
    return int(found[1]) / 1024


def _built(name: str, vectors: np.ndarray) -> tuple[Subject, dict[str, Any]]:
    """The index, and what its building took; memory is counted over what the process held before."""
    module, libraries = SUBJECTS[name]
    for library in libraries:
        importlib.import_module(library)
    build = importlib.import_module(module).build
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
    before = _memory_mb("VmRSS")
    begun = time.perf_counter()
    subject = build(name, vectors)
    seconds = time.perf_counter() - begun
    peak, raw = _memory_mb("VmHWM") - before, vectors.nbytes / 2**20
    figures = {"build_s": round(seconds, 1), "peak_mb": round(peak), "peak_over_vectors": round(peak / raw, 2)}
    return subject, figures | {"bytes_an_item": round(subject.bytes / len(vectors), 1)}


def main() -> None:
    """Builds one subject, then answers lines of stdin in JSON: `tune TARGET`, `time SEARCH BATCH TIMES`."""
    import preprocessing  # noqa: F401 (sets up TensorFlow's environment)

    name, vectors, queries, truth = sys.argv[1], *(np.load(path, mmap_mode="c") for path in sys.argv[2:5])
    queries, truth = np.array(queries), np.array(truth)
    subject, figures = _built(name, vectors)
    print(json.dumps(figures), flush=True)
    searches: dict[str, Search] = {}
    for line in sys.stdin:
        what, *arguments = line.split()
        if what == "tune":
            tuned = subject.tuned(queries, truth, float(arguments[0]))
            searches = tuned.searches
            said: Any = {"chosen": tuned.chosen, "curve": tuned.curve, "reached": tuned.reached}
            said |= {"recall": recall(searches["search"], queries, truth), "searches": list(searches)}
        else:
            batch, times = map(int, arguments[1:])
            said = milliseconds(searches[arguments[0]], queries, batch, times)
            queries = np.roll(queries, -batch * times, axis=0)  # none finds in the caches what another brought there
        print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
