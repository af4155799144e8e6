"""python -m benchmarks.load: one load on a Predict port, closed or open loop; prints its figures as JSON.

A process of its own, so that its interpreter is not the server's. Open loop: requests set out at times drawn before,
whatever the server does, and a request's time counts from when it should have set out: no coordinated omission.

examples:
  python -m benchmarks.load --target localhost:8500 --requests requests.hex --concurrency 16 --seconds 10
"""

from __future__ import annotations

import argparse
import asyncio
import collections
import json
import random
import time
from pathlib import Path

from benchmarks.http2 import Connection, connect
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_PERCENTILES = {"p50_ms": 0.5, "p99_ms": 0.99, "p999_ms": 0.999}


class Tally:
    """What came of requests."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        self.failed: collections.Counter[str] = collections.Counter()

    def figures(self, elapsed: float) -> dict[str, object]:
        """Throughput of answered requests and their percentiles."""
        ordered = sorted(self.seconds)
        places = {
            name: ordered[int(share * (len(ordered) - 1))] * 1e3 for name, share in _PERCENTILES.items() if ordered
        }
        return {
            "answered_per_s": round(len(ordered) / elapsed, 1),
            **{name: round(value, 3) for name, value in places.items()},
            "slowest_ms": round(ordered[-1] * 1e3, 3) if ordered else None,
            "answered": len(ordered),
            "failed": dict(self.failed),
        }


class Connections:
    """Calls over several connections, in turn."""

    def __init__(self, connections: list[Connection], requests: list[bytes]) -> None:
        self._connections, self._requests = connections, requests

    async def ask(self, number: int, begun: float, timeout: float, tally: Tally) -> None:
        """One request, counted from `begun`."""
        left = begun + timeout - time.perf_counter()
        connection = self._connections[number % len(self._connections)]
        code = await connection.call(self._requests[number % len(self._requests)], left)
        seconds = time.perf_counter() - begun
        if code != "OK":
            tally.failed[code] += 1
        elif seconds > timeout:
            tally.failed["LATE"] += 1  # an answer that nobody waits for any more is no goodput
        else:
            tally.seconds.append(seconds)


async def closed(connections: Connections, concurrency: int, seconds: float, timeout: float) -> dict[str, object]:
    """So many at a time, each sends when it has its answer."""
    tally, begun = Tally(), time.perf_counter()
    end = begun + seconds

    async def one(number: int) -> None:
        while (now := time.perf_counter()) < end:
            await connections.ask(number, now, timeout, tally)
            number += concurrency

    await asyncio.gather(*(one(number) for number in range(concurrency)))
    return tally.figures(time.perf_counter() - begun)


async def opened(connections: Connections, rate: float, seconds: float, timeout: float) -> dict[str, object]:
    """Arrivals by chance at a mean rate."""
    tally, chance = Tally(), random.Random(17)
    begun = due = time.perf_counter()
    tasks = set()
    number = late = 0
    while due < begun + seconds:
        due += chance.expovariate(rate)
        wait = due - time.perf_counter()
        if wait > 0:
            await asyncio.sleep(wait)
        else:
            late += 1
            if late % 64 == 0:
                await asyncio.sleep(0)
        task = asyncio.create_task(connections.ask(number, due, timeout, tally))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        number += 1
    if tasks:
        await asyncio.wait(tasks)
    return tally.figures(time.perf_counter() - begun) | {"offered_per_s": round(number / seconds, 1)}


async def run(flags: argparse.Namespace) -> dict[str, object]:
    """Connects, then loads."""
    try:
        requests = [bytes.fromhex(line) for line in Path(flags.requests).read_text().split()]
    except ValueError:
        raise UserError(f"--requests {flags.requests}: not a request in hexadecimal a line") from None
    try:
        opened_now = [await connect(flags.target, _PREDICT) for _ in range(flags.connections)]
    except (OSError, ValueError) as error:
        raise UserError(f"--target {flags.target}: {error}") from None
    connections = Connections(opened_now, requests)
    if flags.rate:
        return await opened(connections, flags.rate, flags.seconds, flags.timeout)
    return await closed(connections, flags.concurrency, flags.seconds, flags.timeout)


def main(argv: list[str] | None = None) -> None:
    """The command."""
    flags = Flags(prog="python -m benchmarks.load", description=__doc__)
    flags.add_argument("--target", required=True)
    flags.add_argument("--requests", required=True, help="a file with a PredictRequest in hexadecimal a line")
    flags.add_argument("--connections", type=int, default=8)
    flags.add_argument("--concurrency", type=int, default=8, help="closed loop")
    flags.add_argument("--rate", type=float, default=0, help="open loop, requests a second")
    flags.add_argument("--seconds", type=float, default=5)
    flags.add_argument("--timeout", type=float, default=5)
    print(json.dumps(asyncio.run(run(flags.parse_args(argv)))))


if __name__ == "__main__":
    run_command(main)
