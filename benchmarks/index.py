"""python -m benchmarks.index: our indexes against exact search, faiss and hnswlib at the same recall.

All are built over the same vectors, each in a process of its own that rests while another is measured; each is tuned
to the same recall@100 on the same held-out queries, then timed in rounds that alternate between them. faiss and
hnswlib are installed by hand: pip install faiss-cpu hnswlib. The last line of stdout is one JSON object.

With --job-dir and --data the vectors are a trained job's own, as many as its catalogue has items; beyond, new ones
are drawn between neighbours of it. Without, they are drawn from clusters of clusters with norms of a long tail.

examples:
  python -m benchmarks.index --items 1000000 --plot out/index.svg
  python -m benchmarks.index --job-dir out/mgdspr --data out/data --items 200000 --only brute_force,scann,portable
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.index_subjects import SUBJECTS, K
from preprocessing.console import run_command
from preprocessing.flags import Flags
from serving.exact import exact_rows

_ROOT = Path(__file__).resolve().parent.parent
_SEED, _QUERIES, _NEIGHBOURS = 17, 500, 8


class Process:
    """One subject; it works while it is asked and rests otherwise."""

    def __init__(self, name: str, files: list[Path]) -> None:
        command = [sys.executable, "-m", "benchmarks.index_subjects", name, *map(str, files)]
        self._process = subprocess.Popen(command, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.built = self._answer()

    def ask(self, what: str) -> Any:
        """The answer to one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self._answer()

    def end(self) -> None:
        """Lets it go."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a subject ended with status {self._process.wait()}")
        return json.loads(line)


def clusters(items: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """Items and queries from clusters of clusters; the norms of items have a long tail."""
    random = np.random.default_rng(_SEED)
    tops = random.normal(size=[30, dim])
    leaves = np.repeat(tops, 40, axis=0) + 0.7 * random.normal(size=[1200, dim])
    sizes = random.zipf(1.3, size=1200).clip(max=200).astype(float)

    def drawn(count: int) -> np.ndarray:
        chosen = random.choice(1200, count, p=sizes / sizes.sum())
        return (leaves[chosen] + 0.5 * random.normal(size=[count, dim])).astype(np.float32)

    norms = random.lognormal(0, 0.25, size=[items, 1]).astype(np.float32)
    return drawn(items) * norms, drawn(_QUERIES)


def trained(job_dir: str, data_dir: str, items: int) -> tuple[np.ndarray, np.ndarray]:
    """A job's vectors, and new ones between neighbours where more are asked for; queries of its eval requests."""
    from trainer.dataset import requests
    from trainer.evaluation.ranking import Blocks
    from trainer.restore import restore

    towers = restore(job_dir, data_dir)
    vectors = np.concatenate(list(Blocks(towers, data_dir, 10**9, 0)))
    random = np.random.default_rng(_SEED)
    batches = requests(data_dir, "eval", 250, towers.request_columns).take(_QUERIES // 250)
    queries = np.concatenate([towers.query(batch).numpy() for batch in batches])
    missing = items - len(vectors)
    if missing <= 0:
        return vectors[:items], queries
    near = exact_rows([vectors], vectors, _NEIGHBOURS)
    one = random.integers(0, len(vectors), missing)
    other = near[one, random.integers(0, _NEIGHBOURS, missing)]
    share = random.uniform(size=[missing, 1]).astype(np.float32)
    spread = 0.1 * vectors.std() * random.normal(size=[missing, vectors.shape[1]]).astype(np.float32)
    return np.concatenate([vectors, share * vectors[one] + (1 - share) * vectors[other] + spread]), queries


def measure(vectors: np.ndarray, queries: np.ndarray, target: float, rounds: int, names: list[str]) -> dict[str, Any]:
    """All figures."""
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder, f"{name}.npy") for name in ("vectors", "queries", "truth")]
        for path, values in zip(files, (vectors, queries, exact_rows([vectors], queries, K)), strict=True):
            np.save(path, values)
        subjects: dict[str, Process] = {}
        found: dict[str, dict[str, Any]] = {}
        for name in names:
            sys.stderr.write(f"building {name}\n")
            subjects[name] = Process(name, files)
            found[name] = subjects[name].built | subjects[name].ask(f"tune {target}")
        times: dict[str, dict[int, list[float]]] = {name: {1: [], 32: []} for name in names}
        for _ in range(rounds):
            for name, subject in subjects.items():
                for batch in (1, 32):
                    times[name][batch].append(subject.ask(f"time {batch} {40 if batch == 1 else 10}"))
        for name, subject in subjects.items():
            subject.end()
            found[name]["single_ms"] = statistics.median(times[name][1])
            found[name]["batch32_ms"] = statistics.median(times[name][32])
    return found


def plot(found: dict[str, Any], path: Path) -> None:
    """Recall against the latency of a single query."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    for name, one in found.items():
        axes.plot([p["recall"] for p in one["curve"]], [p["single_ms"] for p in one["curve"]], marker="o", label=name)
    axes.set(xlabel=f"recall@{K}", ylabel="ms, one query", yscale="log")
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
    base = found.get("brute_force", {}).get("single_ms")
    for one in found.values():
        one.pop("curve")
        if base:
            one["times_brute_force"] = round(base / one["single_ms"], 2)
    print(json.dumps({"items": len(vectors), "dim": vectors.shape[1], "k": K, "subjects": found}))
    return 0


if __name__ == "__main__":
    run_command(main)
