"""python -m benchmarks.rest_attack: what gRPC's callers notice of large bodies that others send over REST.

One connection asks over gRPC, one request at a time, by turns without and with clients that send the same large body
over and over. Prints both latencies and their ratios as JSON, the median over the turns.

examples:
  python -m benchmarks.rest_attack --model-base-path out/models/retrieval
"""

from __future__ import annotations

import http.client
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags
from serving.retriever import messages

_ROOT = Path(__file__).resolve().parents[1]
_PATH = "/v1/models/retrieval:predict"
_ROWS, _VALUES = 4_096, 3_900_000
# Each at most 16 MiB: taken and answered; refused for its values; parsed, then refused.
_BODIES: dict[str, Callable[[], bytes]] = {
    "answered": lambda: json.dumps({"instances": [f"red shoes {n}" for n in range(_ROWS)]}).encode(),
    "too many values": lambda: b'{"instances": [' + b",".join([b'"a"'] * _VALUES) + b"]}",
    "long texts": lambda: json.dumps({"instances": ["\\u624b" * 3_800 for _ in range(_ROWS // 8)] + [1]}).encode(),
}


class Address(NamedTuple):
    """Where the server is."""

    grpc: str
    rest: int


@contextmanager
def served(base: Path) -> Iterator[Address]:
    """A server on free ports."""
    command = [sys.executable, "-m", "serving.server", "--model_base_path", str(base.absolute())]
    command += ["--model_name", "retrieval", "--port", "auto", "--rest_api_port", "auto"]
    with subprocess.Popen(command, cwd=_ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        found = re.search(r"gRPC (\S+:\d+), REST \S+:(\d+)", process.stdout.readline())
        if found is None:
            raise SystemExit("the server did not start")
        yield Address(found[1], int(found[2]))
        process.terminate()


@contextmanager
def attacked(port: int, body: bytes, clients: int) -> Iterator[list[int]]:
    """Clients that send a body all the while; yields the statuses of their answers."""
    over, statuses = threading.Event(), list[int]()

    def send() -> None:
        while not over.is_set():
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            try:
                connection.request("POST", _PATH, body)
                answer = connection.getresponse()
                answer.read()
                statuses.append(answer.status)
            except OSError:  # refused before the body was sent to its end
                statuses.append(0)
            finally:
                connection.close()

    threads = [threading.Thread(target=send) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield statuses
    finally:
        over.set()
        for thread in threads:
            thread.join()


def asked(target: str, requests: Path, seconds: float) -> dict[str, Any]:
    """One turn over gRPC, by a process of its own."""
    command = [sys.executable, "-m", "benchmarks.load", "--target", target, "--requests", str(requests)]
    command += ["--concurrency", "1", "--connections", "1", "--seconds", str(seconds)]
    return json.loads(subprocess.run(command, cwd=_ROOT, check=True, capture_output=True, text=True).stdout)


def compared(address: Address, requests: Path, body: bytes, clients: int, seconds: float, turns: int) -> dict[str, Any]:
    """Turns without and with the attack, one after the other."""
    figures: dict[str, list[float]] = {f"{kind}_{one}": [] for kind in ("alone", "attacked") for one in ("p50", "p99")}
    answers: list[int] = []
    for _ in range(turns):
        alone = asked(address.grpc, requests, seconds)
        with attacked(address.rest, body, clients) as statuses:
            beside = asked(address.grpc, requests, seconds)
        answers += statuses
        for kind, found in (("alone", alone), ("attacked", beside)):
            for one in ("p50", "p99"):
                figures[f"{kind}_{one}"].append(found[f"{one}_ms"])
    medians = {name: round(statistics.median(values), 2) for name, values in figures.items()}
    ratios = {f"{one}_ratio": round(medians[f"attacked_{one}"] / medians[f"alone_{one}"], 2) for one in ("p50", "p99")}
    return medians | ratios | {"rest": {str(one): answers.count(one) for one in sorted(set(answers))}}


def main(argv: list[str] | None = None) -> None:
    """The command."""
    flags = Flags(prog="python -m benchmarks.rest_attack", description=__doc__)
    flags.add_argument("--model-base-path", type=Path, required=True)
    flags.add_argument("--clients", type=int, default=4, help="that send large bodies (default %(default)s)")
    flags.add_argument("--seconds", type=float, default=5, help="a turn (default %(default)s)")
    flags.add_argument("--turns", type=int, default=3, help="of each kind (default %(default)s)")
    given = flags.parse_args(argv)
    if not any(one.name.isdecimal() for one in given.model_base_path.glob("*")):
        raise UserError(
            f"--model-base-path {given.model_base_path} holds no version; python -m serving.export writes one"
        )
    query = {"query": messages.string_tensor(["red running shoes"], [1])}
    with tempfile.NamedTemporaryFile("w", suffix=".hex") as file, served(given.model_base_path) as address:
        file.write(messages.predict_request(messages.model_spec("retrieval"), query).hex())
        file.flush()
        for name, body in _BODIES.items():
            found = compared(address, Path(file.name), body(), given.clients, given.seconds, given.turns)
            print(json.dumps({"body": name, "bytes": len(body()), **found}), flush=True)


if __name__ == "__main__":
    run_command(main)
