"""python -m benchmarks.index: our indexes against exact search, faiss and hnswlib at the same recall.

All are built over the same vectors, each in a process of its own that rests while another is measured; each is tuned
to the same recall@100 on the same held-out queries, then timed in rounds that alternate between them, one query a call
and 32. Ours are called as the server calls them: a saved model's signature `search` in a graph session; `bare` is the
index's search alone. Memory is the most that building took beyond what the process held before. faiss and hnswlib are
installed by hand: pip install faiss-cpu hnswlib. The last line of stdout is one JSON object.

With --job-dir and --data the vectors are a trained job's own, as many as its catalogue has items; beyond, new ones
are drawn between neighbours of it. Without, they are drawn from clusters of clusters with norms of a long tail.

examples:
  python -m benchmarks.index --items 1000000 --plot out/index.svg
  python -m benchmarks.index --job-dir out/mgdspr --data out/data --items 200000 --only brute_force,scann,portable
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.index_subjects import SUBJECTS, K
from benchmarks.index_vectors import clusters, trained
from benchmarks.subject import Subject
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags
from serving.index.ground_truth import exact_rows

_CALLS = {1: 40, 32: 10}  # queries a call -> calls a round
_BATCHES = {1: "single_ms", 32: "batch32_ms"}


def measure(vectors: np.ndarray, queries: np.ndarray, target: float, rounds: int, names: list[str]) -> dict[str, Any]:
    """All figures by subject; milliseconds are medians over the rounds."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{name}.npy") for name in ("vectors", "queries", "truth")]
        for path, values in zip(files, (vectors, queries, exact_rows([vectors], queries, K)), strict=True):
            np.save(path, values)
        subjects: dict[str, Subject] = {}
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            sys.stderr.write(f"building {name}\n")
            subjects[name] = Subject("benchmarks.index_subjects", name, *files)
            found[name] = subjects[name].answer() | subjects[name].ask(f"tune {target}")
            sys.stderr.write(f"{json.dumps(found[name])}\n")
        runs = [(name, search, batch) for batch in _CALLS for name in names for search in found[name]["searches"]]
        times: dict[tuple[str, str, int], list[float]] = {run: [] for run in runs}
        for _ in range(rounds):
            for name, search, batch in runs:
                times[name, search, batch].append(subjects[name].ask(f"time {search} {batch} {_CALLS[batch]}"))
        for subject in subjects.values():
            subject.end()
    for (name, search, batch), taken in times.items():
        prefix = "" if search == "search" else f"{search}_"
        found[name][f"{prefix}{_BATCHES[batch]}"] = round(statistics.median(taken), 3)
    return found


def compared(found: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The figures without their curves; how many times as fast as exact search, and what the graph costs."""
    base = found.get("brute_force")
    for one in found.values():
        one.pop("searches")
        one.pop("curve")
        for field in _BATCHES.values():
            if base:
                one[f"{field.removesuffix('_ms')}_times_brute_force"] = round(base[field] / one[field], 1)
            if f"bare_{field}" in one:
                one[f"graph_overhead_{field.removesuffix('_ms')}"] = round(one[field] / one[f"bare_{field}"] - 1, 3)
    return found


def plot(found: dict[str, Any], path: Path) -> None:
    """Recall against the latency of a single query, for every setting that was tried."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, one in found.items():
        points = sorted((point["single_ms"], point["recall"]) for point in one["curve"])
        axes.plot(*zip(*points, strict=True), marker="o", markersize=4, linewidth=0.8, label=name)
    axes.set(xlabel="ms, one query", ylabel=f"recall@{K}", xscale="log")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.index", description=__doc__)
    flags.add_argument("--items", type=int, default=1_000_000)
    flags.add_argument("--dim", type=int, default=64, help="without --job-dir")
    flags.add_argument("--job-dir")
    flags.add_argument("--data")
    flags.add_argument("--target-recall", type=float, default=0.95)
    flags.add_argument("--rounds", type=int, default=5)
    flags.add_argument("--only", default=",".join(SUBJECTS), help="subjects with commas between (default %(default)s)")
    flags.add_argument("--plot", help="a file for recall against latency")
    given = flags.parse_args(argv)
    if given.job_dir:
        vectors, queries = trained(given.job_dir, given.data, given.items)
    else:
        vectors, queries = clusters(given.items, given.dim)
    names = given.only.split(",")
    found = measure(vectors, queries, given.target_recall, given.rounds, names)
    if given.plot:
        plot(found, Path(given.plot))
    shape = {"items": len(vectors), "dim": vectors.shape[1], "k": K, "target_recall": given.target_recall}
    print(json.dumps(shape | {"cores": os.cpu_count(), "subjects": compared(found)}))
    return 0


if __name__ == "__main__":
    run_command(main)
