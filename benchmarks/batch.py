"""python -m benchmarks.batch: the batch jobs against the bare model, called in a loop at its best batch size.

A worker is one core, so its share is that of the bare model on one; how fast the bare model is on all stands beside it.

examples:
  python -m benchmarks.batch --model out/models/retrieval --data out/data --items 20000
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import orjson

import serving.batch  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags
from serving.batch.input_files import find
from serving.batch.jobs import Job, Version, embed_job, find_version, retrieve_job
from serving.batch.run import run
from serving.inputs import ITEM_INPUTS, ITEM_PRICE, VECTOR_LISTS

_SIZES = (32, 64, 128, 256, 512, 1024, 2048)
_MAX_BATCH = 512  # as the command has it
_SECONDS = 2.0  # a batch size is called for
_FEW = 64  # rows of the run that shows what starting costs
Rows = list[dict[str, Any]]


def catalogue(data: str, count: int) -> Rows:
    """The data's items over and over, each time with other ids."""
    from serving.catalogue.data_records import catalog_batches, catalog_files

    items: Rows = []
    for batch in catalog_batches(catalog_files(data), 4_096):
        columns = [[value.decode() for value in batch[name].numpy().tolist()] for name in ITEM_INPUTS]
        columns.append(batch[ITEM_PRICE].numpy().tolist())
        items += [dict(zip((*ITEM_INPUTS, ITEM_PRICE), values, strict=True)) for values in zip(*columns, strict=True)]
    rounds = -(-count // len(items))
    repeated = (item | {"item_id": f"{item['item_id']}-{n}"} for n in range(rounds) for item in items)
    return [item for item, _ in zip(repeated, range(count), strict=False)]


def requests(data: str, version: Version, count: int) -> Rows:
    """The data's held-out requests with their users' pasts, over and over."""
    from serving.catalogue.data_records import held_out_requests

    found = held_out_requests(data, "eval", count, version.manifest["widths"])
    rows = []
    for number in range(count):
        place = number % len(found)
        row: dict[str, Any] = {
            name: [one.decode() for one in found.inputs[name][place].tolist() if one] for name in VECTOR_LISTS
        }
        rows.append(row | {"request_id": f"r{number}", "query": found.inputs["query"][place].decode()})
    return rows


def bare(version: Version, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, dict[str, float]]:
    """Rows a second of the model alone, by batch size; on one core, and on all."""
    found = {}
    for name, threads in (("one_core", 1), ("all_cores", 0)):
        # A process of its own: the first session of a process settles how many threads there are.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            found[name] = process.submit(called, version, signature, inputs, threads).result()
        print(json.dumps({f"bare_{name}": found[name]}), file=sys.stderr, flush=True)
    return found


def called(version: Version, signature: str, inputs: dict[str, np.ndarray], threads: int) -> dict[str, float]:
    """Rows a second of the model in a loop, by batch size."""
    from serving.graph.saved_model import ServedModel

    rates = {}
    with ServedModel(version.path, version.scann, threads) as model:
        for size in _SIZES:
            if size > len(next(iter(inputs.values()))):
                break
            batch = {name: inputs[name][:size] for name in model.signatures[signature].inputs}
            model.call(signature, batch)
            calls, started = 0, time.perf_counter()
            while time.perf_counter() - started < _SECONDS:
                model.call(signature, batch)
                calls += 1
            rates[str(size)] = round(calls * size / (time.perf_counter() - started), 1)
    return rates


def timed(make: Callable[[str], Job], rows: Rows, folder: Path, workers: int) -> float:
    """Seconds of a job over rows, from its files to its output."""
    with tempfile.TemporaryDirectory(dir=folder) as name:
        path = Path(name) / "rows.jsonl"
        path.write_bytes(b"".join(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in rows))
        started = time.perf_counter()
        flags = ["--direct_running_mode=multi_processing", f"--direct_num_workers={workers}"]
        outcome = run(make(f"{name}/out"), find(str(path)), flags)
        seconds = time.perf_counter() - started
        if outcome is None or outcome.manifest["counts"]["computed"] != len(rows):
            raise SystemExit(f"not all of {len(rows)} rows were answered")
    return seconds


def measure(
    make: Callable[[str], Job], rows: Rows, rates: dict[str, dict[str, float]], workers: list[int]
) -> dict[str, Any]:
    """By workers: rows a second with and without what it takes to start, and the share of the bare model's."""
    found: dict[str, Any] = {"bare_by_batch": rates}
    one_core, all_cores = (max(rates[name].values()) for name in ("one_core", "all_cores"))
    with tempfile.TemporaryDirectory() as folder:
        for count in workers:
            start = min(timed(make, rows[:_FEW], Path(folder), count) for _ in range(2))
            seconds = timed(make, rows, Path(folder), count)
            if seconds <= start:
                raise SystemExit(f"{len(rows)} rows are lost in what starting takes ({start:.1f} s); ask for more")
            rate = (len(rows) - _FEW) / (seconds - start)
            one = found[f"workers_{count}"] = {
                "seconds": round(seconds, 2),
                "start_seconds": round(start, 2),
                "rows_per_second": round(len(rows) / seconds, 1),
                "rows_per_second_once_started": round(rate, 1),
                "share_of_bare_on_one_core": round(rate / one_core, 3),
                "share_of_bare_on_all_cores": round(rate / all_cores, 3),
            }
            print(json.dumps(one), file=sys.stderr, flush=True)  # the whole takes minutes
    if {1, 2} <= set(workers):
        first, second = (found[f"workers_{count}"]["rows_per_second_once_started"] for count in (1, 2))
        found["two_over_one"] = round(second / first, 2)
    return found


def main(argv: list[str] | None = None) -> None:
    """Both jobs, one after the other."""
    flags = Flags(prog="python -m benchmarks.batch", description=__doc__)
    flags.add_argument("--model", default="out/models/retrieval", help="a model folder (default %(default)s)")
    flags.add_argument("--data", default="out/data", help="a data folder (default %(default)s)")
    flags.add_argument("--items", type=int, default=400_000)
    flags.add_argument("--queries", type=int, default=30_000)
    flags.add_argument("--k", type=int, default=100)
    flags.add_argument("--workers", type=int, nargs="+", choices=(1, 2), default=[1, 2])
    given = flags.parse_args(argv)
    version, result = find_version(given.model), {}
    items, queries = catalogue(given.data, given.items), requests(given.data, version, given.queries)
    some = min(_SIZES[-1], len(items))
    inputs = {name: np.array([row[name].encode() for row in items[:some]], object) for name in ITEM_INPUTS}
    inputs[ITEM_PRICE] = np.array([row[ITEM_PRICE] for row in items[:some]], np.float32)
    rates = bare(version, "embed_item", inputs)

    def embed(output: str) -> Job:
        return embed_job(None, given.model, _MAX_BATCH, output=output, format="parquet")

    result["embed"] = {"items": len(items), **measure(embed, items, rates, given.workers)}

    from serving.catalogue.data_records import held_out_requests
    from serving.release.acceptance import retrieve_inputs

    widths = version.manifest["widths"]
    once = retrieve_inputs(held_out_requests(given.data, "eval", some, widths), widths, given.k)
    repeated = {name: np.resize(values, (some, *values.shape[1:])) for name, values in once.items()}
    rates = bare(version, "retrieve", repeated)

    def retrieve(output: str) -> Job:
        return retrieve_job("retrieve", given.model, given.k, _MAX_BATCH, output=output, format="parquet")

    result["retrieve"] = {
        "queries": len(queries),
        "k": given.k,
        **measure(retrieve, queries, rates, given.workers),
    }
    print(json.dumps({"model": version.path, "index": version.manifest["index"]["kind"], **result}))


if __name__ == "__main__":
    run_command(main)
