"""python -m benchmarks.preprocess: the pipeline against a rival, and against the floor of moving the same bytes.

The floor reads and parses every line, and writes as many bytes as the pipeline does. The rival is what a data engineer
would take on one machine: the same joins in DuckDB, with no text analysis and no TFRecords on its side. It has a
Python of its own: `python -m venv duck && duck/bin/pip install duckdb`, then --duckdb duck/bin/python.

With --partitions it shows instead what is shuffled: the same log in the partitions that its size asks for, and in
so many that each holds next to nothing, as those of a log a thousand times as large would be in a batch.

examples:
  python -m benchmarks.preprocess --events 200000 --workers 2 --duckdb duck/bin/python
  python -m benchmarks.preprocess --events 1000000 --partitions 10000
"""

from __future__ import annotations

import contextlib
import gzip
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
import psutil

from benchmarks import duckdb_rival, shuffle_traffic
from benchmarks.large_log import make
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags
from preprocessing.data.record_files import GZIP_LEVEL, framed

_ROOT = Path(__file__).resolve().parent.parent


class PeakMemory:
    """The most resident memory of a process and all it started, sampled."""

    def __init__(self, pid: int) -> None:
        self.peak = 0
        self._process = psutil.Process(pid)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.2):
            try:
                family = [self._process, *self._process.children(recursive=True)]
                self.peak = max(self.peak, sum(process.memory_info().rss for process in family))
            except psutil.NoSuchProcess:
                continue

    def stop(self) -> float:
        """Ends the watch; the peak in MiB."""
        self._done.set()
        self._thread.join()
        return round(self.peak / 2**20, 1)


def run_whole(command: list[str], output: Path | int = subprocess.DEVNULL) -> dict[str, float]:
    """One run of a command: seconds, those of all CPUs, and peak memory, start-up included."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    with open(output, "wb") if isinstance(output, Path) else contextlib.nullcontext(output) as stdout:
        process = subprocess.Popen(command, cwd=_ROOT, stdout=stdout)
        memory = PeakMemory(process.pid)
        if process.wait():
            raise SystemExit(f"{' '.join(command)} ended with status {process.returncode}")
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return {
        "seconds": round(time.perf_counter() - started, 2),
        "cpu_seconds": round(used.ru_utime + used.ru_stime - before.ru_utime - before.ru_stime, 2),
        "peak_mib": memory.stop(),
    }


def run_pipeline(raw: Path, data: Path, workers: int) -> dict[str, Any]:
    """One run with `workers` processes, and what each step took."""
    costs = raw.with_name("costs.json")
    command = [sys.executable, "-m", "benchmarks.stage_costs", str(costs), "--config", "configs/demo.yaml"]
    command += ["--input", str(raw), "--output", str(data)]
    command += ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
    return {**run_whole(command), "steps": json.loads(costs.read_text())}


def run_rival(python: Path, raw: Path, folder: Path, workers: int) -> dict[str, Any]:
    """The same joins in DuckDB, on as many threads."""
    told, joined = folder / "rival.json", folder / "joined.parquet"
    script = str(Path(duckdb_rival.__file__))
    whole = run_whole([str(python), script, str(raw), str(joined), str(workers)], told)
    return {**whole, **json.loads(told.read_text())}


def output_bytes(data: Path) -> int:
    """What the pipeline wrote, before compression."""
    total = 0
    for path in data.glob("*.tfrecord.gz"):
        with gzip.open(path) as file:
            while chunk := file.read(1 << 20):
                total += len(chunk)
    return total


def run_floor(raw: Path, target: Path, size: int) -> float:
    """Reads and parses every line and writes lines as records until as many bytes are out; seconds, one process."""
    started = time.perf_counter()
    lines = []
    for path in sorted(raw.glob("*.jsonl")):
        with open(path, "rb") as file:
            for line in file:
                orjson.loads(line)
                lines.append(line)
    written = 0
    with gzip.open(target, "wb", compresslevel=GZIP_LEVEL) as file:
        while written < size:
            for line in lines:
                record = framed(line)
                written += file.write(record)
                if written >= size:
                    break
    return round(time.perf_counter() - started, 2)


def measure(events: int, workers: int, folder: Path, duckdb: Path | None) -> dict[str, Any]:
    """Pipeline, floor and rival on one log, one after the other."""
    raw, data = folder / f"raw-{events}", folder / f"data-{events}"
    exact = make(raw, events)
    result = run_pipeline(raw, data, workers)
    size = output_bytes(data)
    floor = run_floor(raw, folder / "floor.gz", size)
    rival = run_rival(duckdb.absolute(), raw, folder, workers) if duckdb is not None else None
    shutil.rmtree(raw)
    shutil.rmtree(data)
    return {
        "events": exact,
        **result,
        "events_per_second": round(exact / result["seconds"]),
        "output_mib": round(size / 2**20, 1),
        "floor_seconds": floor,
        "times_the_floor": round(result["seconds"] / floor, 2),
        "duckdb": rival,
        **(_times(result, rival) if rival is not None else {}),
    }


def _times(result: Mapping[str, float], rival: Mapping[str, float]) -> dict[str, float]:
    return {f"times_duckdb_{name}": round(result[name] / rival[name], 2) for name in ("seconds", "cpu_seconds")}


def main(argv: list[str] | None = None) -> None:
    """Measures a large log and a quarter of it."""
    flags = Flags(prog="python -m benchmarks.preprocess", description=__doc__)
    flags.add_argument("--events", type=int, default=1_000_000, help="searches and actions of the large log")
    flags.add_argument("--workers", type=int, default=2, help="worker processes")
    flags.add_argument("--folder", type=Path, help="where the logs are made (default: a temporary folder)")
    flags.add_argument("--duckdb", type=Path, help="a Python that has DuckDB: runs the rival, too")
    flags.add_argument("--partitions", type=int, help="of users: shows what is shuffled, in few and in so many")
    arguments = flags.parse_args(argv)
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        if arguments.partitions:
            make(Path(name) / "raw", arguments.events)
            print(json.dumps(shuffle_traffic.compare(Path(name) / "raw", arguments.partitions)))
            return
        small = measure(arguments.events // 4, arguments.workers, Path(name), arguments.duckdb)
        large = measure(arguments.events, arguments.workers, Path(name), arguments.duckdb)
    growth = round(large["seconds"] / small["seconds"], 2)
    print(json.dumps({"large": large, "quarter": small, "seconds_large_over_quarter": growth}))


if __name__ == "__main__":
    run_command(main)
