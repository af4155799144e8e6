"""What clients and machines do wrong, one kind after the other; each has the outcomes that it may have."""

from __future__ import annotations

import collections
import itertools
import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

import grpc

from benchmarks.soak.replica import Replica

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_PAUSE_S = 4.0
_ROUNDS_A_KILL = 4  # a server takes longest to come back
_BURST = 20  # requests at a time: far from what a server takes, or the faults would be the clients' failures
_TIMEOUT_S = 60
# Not UNAVAILABLE: a burst is far from filling a queue, and a server that is gone says the same.
_REFUSALS = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "RESOURCE_EXHAUSTED"}
_KILLED_CLIENT = (
    "import sys, grpc\n"
    "data = bytes.fromhex(sys.argv[2])\n"
    "call = grpc.insecure_channel(sys.argv[1]).unary_unary(sys.argv[3])\n"
    "calls = [call.future(data) for _ in range(8)]\n"
    "calls[0].code(); print('begun', flush=True)\n"
    "while True: [one.code() for one in [call.future(data) for _ in range(8)]]\n"
)
_BODIES = (b'{"instances": ["red shoes", {"b64": "cmVk"}]}', b'{"inputs": {"query": ["\\ud83d", null, [[]], {}]}}')


class Faults:
    """A thread that injects, and counts by kind; what has another outcome than its kind may have is a failure."""

    def __init__(self, replicas: Sequence[Replica], seed: int) -> None:
        self._replicas, self._chance = replicas, random.Random(seed)
        self.injected: collections.Counter[str] = collections.Counter()
        self.unexpected: list[str] = []
        self._kinds: dict[str, Callable[[Replica], None]] = {
            "malformed": self._malformed,
            "malformed over REST": self._malformed_rest,
            "too short a deadline": self._hurried,
            "cancelled": self._cancelled,
            "bytes of no protocol": self._strange,
            "client killed": self._client_killed,
            "server killed": self._server_killed,
        }
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="faults")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends behind the fault at hand."""
        self._stop.set()
        self._thread.join()

    def note(self, kind: str, outcome: str, expected: set[str]) -> None:
        """Counts one."""
        self.injected[kind] += 1
        if outcome not in expected:
            self.unexpected.append(f"{kind}: {outcome}")

    def _run(self) -> None:
        for round_ in itertools.count(1):
            for kind, inject in self._kinds.items():
                if inject == self._server_killed and round_ % _ROUNDS_A_KILL:
                    continue
                if self._stop.wait(_PAUSE_S):
                    return
                try:
                    inject(self._chance.choice(self._replicas))
                except Exception as error:  # no outcome of a fault that was thought of
                    self.unexpected.append(f"{kind}: {type(error).__name__}: {error}")

    def _calls(self, kind: str, replica: Replica, requests: list[bytes], timeout: float, expected: set[str]) -> None:
        with grpc.insecure_channel(replica.target) as channel:
            predict = channel.unary_unary(_PREDICT)
            for call in [predict.future(one, timeout=timeout) for one in requests]:
                self.note(kind, call.code().name, expected)

    def _malformed(self, replica: Replica) -> None:
        for _ in range(10):
            requests = [mutated(replica.request, self._chance) for _ in range(_BURST)]
            self._calls("malformed", replica, requests, _TIMEOUT_S, _REFUSALS)

    def _malformed_rest(self, replica: Replica) -> None:
        for _ in range(_BURST):
            body = mutated(self._chance.choice(_BODIES), self._chance)
            status, _ = replica.ask("POST", f"/v1/models/{replica.model}:predict", body)
            self.note("malformed over REST", str(status), {"200", "400"})

    def _hurried(self, replica: Replica) -> None:
        for timeout in (1e-6, 1e-4, 1e-3, 3e-3):
            requests = [replica.request] * _BURST
            self._calls("too short a deadline", replica, requests, timeout, {"OK", "DEADLINE_EXCEEDED"})

    def _cancelled(self, replica: Replica) -> None:
        with grpc.insecure_channel(replica.target) as channel:
            predict = channel.unary_unary(_PREDICT)
            predict(replica.request, timeout=_TIMEOUT_S)
            for _ in range(_BURST):
                call = predict.future(replica.request, timeout=_TIMEOUT_S)
                time.sleep(self._chance.random() * 0.005)  # so that the cancel comes before, in or behind the answer
                call.cancel()
                self.note("cancelled", call.code().name, {"OK", "CANCELLED"})

    def _strange(self, replica: Replica) -> None:
        host, port = replica.target.split(":")
        for data in (
            b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
            b"\x16\x03\x01" + b"\x00" * 100,
            self._chance.randbytes(999),
        ):
            with socket.create_connection((host, int(port)), timeout=_TIMEOUT_S) as connection:
                connection.sendall(data)
            self.note("bytes of no protocol", "sent", {"sent"})

    def _client_killed(self, replica: Replica) -> None:
        command = [sys.executable, "-c", _KILLED_CLIENT, replica.target, replica.request.hex(), _PREDICT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            begun = client.stdout.readline()
            time.sleep(self._chance.random() * 0.2)  # so that the kill comes anywhere in its calls
            client.kill()
        self.note("client killed", begun.strip(), {"begun"})

    def _server_killed(self, _: Replica) -> None:
        replica = self._chance.choice([one for one in self._replicas if one.killable])
        with replica.changing:
            replica.kill()
            replica.start()
        self.note("server killed", "served again", {"served again"})


def mutated(valid: bytes, chance: random.Random) -> bytes:
    """A valid message with bytes changed, cut out, doubled or put in."""
    data = bytearray(valid)
    for _ in range(chance.randint(1, 8)):
        begin = chance.randrange(len(data)) if data else 0
        end = min(len(data), begin + chance.randint(1, 12))
        kind = chance.randrange(4)
        if kind == 0:
            data[begin:end] = chance.randbytes(end - begin)
        elif kind == 1:
            del data[begin:end]
        elif kind == 2:
            data[begin:begin] = data[begin:end] * chance.randint(1, 20)
        else:
            data[begin:begin] = chance.randbytes(chance.randint(1, 12))
    return bytes(data)
