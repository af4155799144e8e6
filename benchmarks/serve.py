"""python -m benchmarks.serve: the embedded server under closed and open load, beside the same model in process.

Without a flag it takes the trained exports of `make demo`, and a made one behind them.

examples:
  python -m benchmarks.serve
  python -m benchmarks.serve --model-base-path out/models/retrieval
  python -m benchmarks.serve --items 100000 --items 1000000 --index scann --seconds 3
"""

from __future__ import annotations

import functools
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_ROOT = Path(__file__).resolve().parent.parent
_CONCURRENCIES = (1, 2, 4, 8, 16, 32, 64)
_BATCHES = (1, 8, 32)  # queries in a request
_CONNECTIONS = 8
_SHARES = (0.7, 2.0)  # of capacity, in open loop
_DEADLINE_S = 0.5
_WORDS = ("red", "shoes", "running", "blue", "phone", "case", "dress", "summer", "鞋", "手机", "连衣裙", "usb")


def queries(count: int, chance: random.Random) -> list[bytes]:
    """Texts of one to four words."""
    return [" ".join(chance.choices(_WORDS, k=chance.randint(1, 4))).encode() for _ in range(count)]


def write_requests(path: Path, batch: int, count: int = 500) -> Path:
    """So many queries a request to `serving_default`, a request a line in hexadecimal."""
    from serving.retriever import messages

    chance = random.Random(17)
    lines = []
    for _ in range(count):
        texts = [text.decode() for text in queries(batch, chance)]
        request = messages.predict_request(
            messages.model_spec("retrieval"), {"query": messages.string_tensor(texts, [batch])}
        )
        lines.append(request.hex())
    path.write_text("\n".join(lines))
    return path


def in_process(version: Path, seconds: float) -> dict[str, dict[str, float]]:
    """The same signature called directly, by threads and batch: queries a second, and CPU microseconds a query."""
    import numpy as np

    from serving.runtime.servable import Parallelism, Servable

    call = Servable("retrieval", 1, str(version), Parallelism()).signatures["serving_default"].call
    figures = {}
    for threads, batch in ((1, 1), *((os.cpu_count() or 1, batch) for batch in _BATCHES)):
        query = np.array(queries(batch, random.Random(17)), object)
        counts = [0] * threads
        call(query)
        spent = time.process_time()
        end = time.perf_counter() + seconds

        def work(place: int, query: Any = query, counts: list[int] = counts, end: float = end) -> None:
            while time.perf_counter() < end:
                call(query)
                counts[place] += 1

        running = [threading.Thread(target=work, args=(place,)) for place in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        answered = sum(counts) * batch
        figures[f"threads_{threads}_batch_{batch}"] = {
            "per_s": round(answered / seconds, 1),
            "cpu_us": round((time.process_time() - spent) / answered * 1e6),
        }
    return figures


@contextmanager
def served(base: Path) -> Iterator[tuple[psutil.Process, str]]:
    """The server on a free port."""
    command = [sys.executable, "-m", "serving.server", "--model_base_path", str(base), "--model_name", "retrieval"]
    command += ["--port", "auto", "--file_system_poll_wait_seconds", "0.2"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("serving"):
            raise SystemExit("the server did not start")
        yield psutil.Process(process.pid), line.split("gRPC ")[1].strip()
        process.terminate()


def load(target: str, requests: Path, **flags: float) -> dict[str, Any]:
    """One run of `benchmarks.load`."""
    command = [sys.executable, "-m", "benchmarks.load", "--target", target, "--requests", str(requests)]
    command += [f"--{name}={value}" for name, value in flags.items()]
    return json.loads(subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout)


def measured(server: psutil.Process, run: Callable[[], dict[str, Any]], batch: int = 1) -> dict[str, Any]:
    """A run of requests of so many queries, with the server's CPU time for each query."""
    before = sum(server.cpu_times()[:2])
    figures = run()
    spent = sum(server.cpu_times()[:2]) - before
    return figures | {
        "queries_per_s": round(figures["answered_per_s"] * batch, 1),
        "server_cpu_us": round(spent / max(1, figures["answered"] * batch) * 1e6),
        "rss_mib": server.memory_info().rss >> 20,
    }


def swap(server: psutil.Process, target: str, requests: Path, base: Path, seconds: float) -> dict[str, Any]:
    """The newest version copied to the next number in the middle of a full load."""
    newest = max(int(one.name) for one in base.iterdir() if one.name.isdecimal())

    def publish() -> None:
        time.sleep(seconds / 4)
        shutil.copytree(base / str(newest), base / ".next")
        os.rename(base / ".next", base / str(newest + 1))

    publishing = threading.Thread(target=publish)
    publishing.start()
    figures = measured(server, lambda: load(target, requests, concurrency=8, seconds=seconds, timeout=30))
    publishing.join()
    return figures


def benchmark(base: Path, scratch: Path, seconds: float) -> dict[str, Any]:
    """All loads on one model."""
    requests = {batch: write_requests(scratch / f"requests-{batch}.txt", batch) for batch in _BATCHES}
    single = requests[1]
    newest = max(int(one.name) for one in base.iterdir() if one.name.isdecimal())
    figures: dict[str, Any] = {"in_process": in_process(base / str(newest), seconds)}
    with served(base) as (server, target):

        def closed(batch: int, concurrency: int) -> dict[str, Any]:
            connections = min(concurrency, _CONNECTIONS)
            return measured(
                server,
                lambda: load(
                    target, requests[batch], concurrency=concurrency, connections=connections, seconds=seconds
                ),
                batch,
            )

        figures["start_cpu_s"] = round(sum(server.cpu_times()[:2]), 1)
        closed(1, _CONNECTIONS)
        figures["closed"] = {str(concurrency): closed(1, concurrency) for concurrency in _CONCURRENCIES}
        figures["batches"] = {str(batch): closed(batch, _CONNECTIONS) for batch in _BATCHES[1:]}
        capacity = max(one["answered_per_s"] for one in figures["closed"].values())
        for share in _SHARES:
            rate = share * capacity
            offered = functools.partial(load, target, single, rate=rate, seconds=seconds, timeout=_DEADLINE_S)
            figures[f"open_{share:.0%}"] = measured(server, offered)
        figures["swap"] = swap(server, target, single, base, max(12.0, 2 * seconds))
    figures["load_average"] = os.getloadavg()
    return figures


def demo_exports() -> list[str]:
    """The model folders that `make demo` wrote, by name."""
    folders = sorted((_ROOT / "out" / "models").glob("*"))
    return [str(one) for one in folders if any(version.name.isdecimal() for version in one.iterdir())]


def plot(results: dict[str, Any], path: Path) -> None:
    """Throughput and latency over concurrency, a line a model."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(11, 4))
    for name, one in results["models"].items():
        points = [int(c) for c in one["closed"]]
        left.plot(points, [run["answered_per_s"] for run in one["closed"].values()], marker="o", label=name)
        for key, style in (("p50_ms", "-"), ("p99_ms", "--")):
            values = [run[key] for run in one["closed"].values()]
            right.plot(points, values, style, marker=".", label=f"{name} {key[:-3]}")
    for axes, title in ((left, "queries a second"), (right, "milliseconds")):
        axes.set(xscale="log", xlabel="concurrent requests", title=title)
        axes.set_xticks(_CONCURRENCIES, map(str, _CONCURRENCIES))
        axes.minorticks_off()
        axes.legend()
    right.set_yscale("log")
    figure.tight_layout()
    figure.savefig(path)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    flags = Flags(prog="python -m benchmarks.serve", description=__doc__)
    flags.add_argument(
        "--model-base-path",
        action="append",
        default=[],
        help="an export's folder; may be repeated (default: those of make demo in out/models)",
    )
    flags.add_argument("--items", type=int, action="append", default=[], help="or a made catalogue of so many items")
    flags.add_argument("--index", choices=("scann", "portable", "brute_force"), default="scann", help="of those made")
    flags.add_argument("--seconds", type=float, default=5, help="each load (default %(default)s)")
    flags.add_argument("--output", type=Path, default=Path("out/benchmarks/serve"), help="writes .json and .png")
    given = flags.parse_args(argv)
    results: dict[str, Any] = {"cores": os.cpu_count(), "models": {}}
    with tempfile.TemporaryDirectory() as scratch:
        bases: dict[str, Path] = {}
        for path in given.model_base_path or ([] if given.items else demo_exports()):
            copy = Path(scratch) / f"copy{len(bases)}"  # the swap adds a version
            newest = max((int(one.name) for one in Path(path).iterdir() if one.name.isdecimal()), default=None)
            if newest is None:
                raise UserError(f"--model-base-path {path} holds no version; python -m serving.export writes one")
            shutil.copytree(Path(path) / str(newest), copy / str(newest))
            bases[path] = copy
        for items in given.items or ([] if given.model_base_path else [100_000]):
            name = f"{given.index}, {items} items"
            bases[name] = Path(scratch) / f"{given.index}-{items}"
            make = [sys.executable, "-m", "benchmarks.serve_models", "--items", str(items), "--index", given.index]
            subprocess.run([*make, "--output", str(bases[name])], cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
        for name, base in bases.items():
            results["models"][name] = benchmark(base, Path(scratch), given.seconds)
    given.output.parent.mkdir(parents=True, exist_ok=True)
    given.output.with_suffix(".json").write_text(json.dumps(results, indent=1))
    plot(results, given.output.with_suffix(".png"))
    print(json.dumps(results))


if __name__ == "__main__":
    run_command(main)
