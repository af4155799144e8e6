"""python -m benchmarks.large_catalogue: a catalogue of millions of items, exported in shards by workers, and served.

The catalogue is that of a job's data, cloned: each item again with words, brand and shop of others of its leaf. The
export is the command itself, with the flags of Beam that are given. Then each shard and the model of queries is loaded
by a server of its own, and the library's client asks them. What it finds is held against the exact answers over the
vectors that the workers embedded. The last line of stdout is one JSON object.

examples:
  python -m benchmarks.large_catalogue --job-dir out/mgdspr --data out/data --items 1000000 --shards 2
  python -m benchmarks.large_catalogue --job-dir out/mgdspr --data out/data --items 10000000 $(cat flink.flags)
  (`python tests/distributed/start_flink.py flink.flags` runs a cluster here until it is stopped)
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.cloned_items import write_clones
from benchmarks.shard_servers import ask, served, users_of
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags
from serving.index.ground_truth import exact_rows

_ROOT = Path(__file__).resolve().parent.parent
_K = 100


class Watch:
    """The most memory of a process by itself and of all of this machine's, and links to what is removed at the end."""

    def __init__(self, pid: int, gathered: Path, kept: Path) -> None:
        self.launcher_mib = self.machine_mib = 0
        self._process, self._gathered, self._kept = psutil.Process(pid), gathered, kept
        self._before, self._done = psutil.virtual_memory().used, threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        while not self._done.wait(0.5):
            try:
                self.launcher_mib = max(self.launcher_mib, self._process.memory_info().rss >> 20)
            except psutil.NoSuchProcess:
                return
            self.machine_mib = max(self.machine_mib, (psutil.virtual_memory().used - self._before) >> 20)
            for shard in self._gathered.glob("[0-9]*"):
                if shard.name.isdecimal() and not (self._kept / shard.name).exists():
                    shutil.copytree(shard, self._kept / shard.name, copy_function=os.link)

    def stop(self) -> None:
        """Ends the watch."""
        self._done.set()
        self._thread.join()


def export(given: Any, data: Path, output: Path, kept: Path, beam_flags: list[str]) -> dict[str, Any]:
    """One run of the command; what it took."""
    command = [sys.executable, "-m", "serving.export", "--job-dir", given.job_dir, "--data", str(data)]
    command += ["--output", str(output), "--shards", str(given.shards)]
    command += [part for one in given.set for part in ("--set", one)] + beam_flags
    started = time.perf_counter()
    process = subprocess.Popen(command, cwd=_ROOT)
    watch = Watch(process.pid, output / ".building" / "gathered", kept)
    if process.wait():
        raise UserError(f"the export ended with status {process.returncode}")
    watch.stop()
    seconds = round(time.perf_counter() - started)
    return {"seconds": seconds, "launcher_mib": watch.launcher_mib, "machine_mib": watch.machine_mib}


def exact_ids(kept: Path, queries: np.ndarray) -> np.ndarray:
    """The exact answers `[Q, k]` over the vectors of all shards."""
    from serving.sharding.array_folders import read_array

    shards = sorted(path for path in kept.iterdir() if path.name.isdecimal())
    rows = exact_rows([read_array(one, "vectors") for one in shards], queries, _K)
    return np.concatenate([read_array(one, "ids") for one in shards])[rows]


def ask_servers(data: Path, output: Path, folder: Path, kept: Path, count: int) -> dict[str, Any]:
    """What clients of all shards find, and how soon."""
    manifest = json.loads(next((output / "query").glob("manifest-*.json")).read_text())
    asked = users_of(str(data), count, manifest["widths"])
    with served(output, folder) as servers:
        both, alone = (ask(path, asked, _K) for path in (servers.shard_map, servers.vectors_alone))
        mib = servers.mib()
    exact = exact_ids(kept, alone.vectors)
    recalls = [len(set(found) & set(wanted)) / _K for found, wanted in zip(alone.item_ids, exact.tolist(), strict=True)]
    return {
        "queries": len(asked),
        "recall_at_100": round(float(np.mean(recalls)), 4),
        "p50_ms": both.p50_ms,
        "p99_ms": both.p99_ms,
        "vectors_alone_p50_ms": alone.p50_ms,
        "servers_mib": mib,
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.large_catalogue", description=__doc__, others=True)
    flags.add_argument("--job-dir", required=True)
    flags.add_argument("--data", type=Path, required=True)
    flags.add_argument("--items", type=int, default=10_000_000)
    flags.add_argument("--shards", type=int, default=4)
    flags.add_argument("--set", action="append", default=["serving.scann.int8=true", "serving.portable.int8=true"])
    flags.add_argument("--queries", type=int, default=200)
    flags.add_argument("--output", type=Path, default=Path("out/benchmarks/large_catalogue"))
    given, beam_flags = flags.parse_known_args(argv)
    folder = given.output.absolute()
    data, models, kept = (folder / name for name in ("data", "models", "kept"))
    for old in (models, kept):
        shutil.rmtree(old, ignore_errors=True)
    started = time.perf_counter()
    write_clones(given.data, data, given.items)
    made = round(time.perf_counter() - started)
    built = export(given, data, models, kept, beam_flags)
    found = ask_servers(data, models, folder, kept, given.queries)
    sizes = {path.name: _bytes(path) for path in sorted(models.iterdir()) if path.is_dir()}
    manifest = json.loads(next((models / "query").glob("manifest-*.json")).read_text())
    told = {"items": given.items, "shards": given.shards, "cores": os.cpu_count(), "made_s": made, "export": built}
    told |= {"served": found, "bytes": sizes, "channels": manifest["channels"]["weights"]}
    print(json.dumps(told | {"measured": manifest["measured"], "load_average": os.getloadavg()}))
    return 0


if __name__ == "__main__":
    run_command(main)
