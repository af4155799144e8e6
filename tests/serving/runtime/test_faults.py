"""A server of its own process under abuse: it answers afterwards, and its memory stays flat."""

from __future__ import annotations

import collections
import http.client
import json
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import grpc
import psutil
import pytest

from benchmarks.soak.faults import mutated
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of, retrieve_inputs
from tests.serving.runtime.small_model import DIM

PREDICT = "/tensorflow.serving.PredictionService/Predict"
ROOT = Path(__file__).parents[3]
MALFORMED, FLAT = 10_000, 1.05


class Victim(NamedTuple):
    """A server's process, its gRPC address and its REST port."""

    process: psutil.Process
    address: str
    rest: int


@pytest.fixture(scope="module")
def victim(models: Path) -> Iterator[Victim]:
    """`python -m serving.server` on free ports."""
    command = [sys.executable, "-m", "serving.server", "--model_base_path", str(models), "--model_name", "retrieval"]
    command += ["--port", "auto", "--rest_api_port", "auto", "--max_request_bytes", str(1 << 20)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        address, rest = process.stdout.readline().split("gRPC ")[1].split(", REST ")
        yield Victim(psutil.Process(process.pid), address, int(rest.split(":")[1]))
        process.terminate()
        assert process.wait(60) == 0


def still_answers(address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        assert Stubs(channel).predict(query=["red"])["scores"].shape[0] == 1


MESSAGES = [
    request_of(query=["red shoes"]).SerializeToString(),
    request_of("retrieve", **retrieve_inputs(["red"], 5)).SerializeToString(),
    request_of("search", embedding=[[1.0] * DIM], k=[3]).SerializeToString(),
]
BODIES = [
    b'{"instances": ["red shoes", {"b64": "cmVk"}]}',
    b'{"signature_name": "search", "inputs": {"embedding": [[1, 2.5e3, -0.0]], "k": [3]}}',
    b'{"inputs": {"query": ["\\ud83d\\ude00", null, true, [[]], {}]}}',
]


def mutations(seed: int, valid: list[bytes]) -> Iterator[bytes]:
    """Valid requests with bytes changed, cut out, doubled, or of no sense at all."""
    chance = random.Random(seed)
    while True:
        yield mutated(chance.choice(valid), chance)


def fuzz(channel: grpc.Channel, requests: Iterator[bytes], count: int) -> set[grpc.StatusCode]:
    """The codes of so many requests, some of them at a time."""
    predict = channel.unary_unary(PREDICT)
    codes: set[grpc.StatusCode] = set()
    for _ in range(count // 20):
        calls = [predict.future(next(requests), timeout=TIMEOUT) for _ in range(20)]
        codes |= {call.code() for call in calls}
    return codes


def test_ten_thousand_malformed_requests(victim: Victim) -> None:
    process, address = victim.process, victim.address
    requests = mutations(7, MESSAGES)
    with grpc.insecure_channel(address) as channel:
        fuzz(channel, requests, 3_000)
        before = process.memory_info().rss
        codes = fuzz(channel, requests, MALFORMED)
    assert process.memory_info().rss < before * FLAT
    foreseen = {"OK", "INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION", "INTERNAL", "RESOURCE_EXHAUSTED"}
    assert {code.name for code in codes} <= foreseen
    still_answers(address)


def test_malformed_bodies_over_rest(victim: Victim) -> None:
    bodies = mutations(8, BODIES)
    statuses = collections.Counter()
    connection = http.client.HTTPConnection("127.0.0.1", victim.rest, timeout=TIMEOUT)
    for count in (1_000, 3_000):
        before = victim.process.memory_info().rss
        for _ in range(count):
            connection.request("POST", "/v1/models/retrieval:predict", next(bodies))
            answer = connection.getresponse()
            assert b"error" in answer.read() or answer.status == 200
            statuses[answer.status] += 1
    connection.close()
    assert victim.process.memory_info().rss < before * FLAT
    assert statuses.keys() <= {200, 400}
    still_answers(victim.address)


def test_rest_clients_that_send_or_read_nothing_more(victim: Victim) -> None:
    body = json.dumps({"instances": ["red"] * 4_000}).encode()
    head = f"POST /v1/models/retrieval:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with ExitStack() as stack:
        for data in [head + body] * 8 + [head + body[:100]] * 50 + [head[:40]] * 50:
            connection = socket.socket()
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
            connection.connect(("127.0.0.1", victim.rest))
            stack.enter_context(connection).sendall(data)
        quick = http.client.HTTPConnection("127.0.0.1", victim.rest, timeout=TIMEOUT)
        quick.request("POST", "/v1/models/retrieval:predict", b'{"instances": ["red"]}')
        assert quick.getresponse().status == 200
        quick.close()
        still_answers(victim.address)
    still_answers(victim.address)


def test_a_thousand_idle_connections(victim: Victim) -> None:
    address = victim.address
    host, port = address.split(":")
    with ExitStack() as stack:
        for i in range(1_000):
            connection = stack.enter_context(socket.create_connection((host, int(port)), timeout=TIMEOUT))
            if i % 2:
                connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00")
        still_answers(address)
    still_answers(address)


def test_bytes_of_other_protocols(victim: Victim) -> None:
    address = victim.address
    host, port = address.split(":")
    for data in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"\x16\x03\x01" + b"\x00" * 100, bytes(range(256)) * 40):
        with socket.create_connection((host, int(port)), timeout=TIMEOUT) as connection:
            connection.sendall(data)
    still_answers(address)


def test_clients_killed_in_the_middle_of_calls(victim: Victim) -> None:
    process, address = victim.process, victim.address
    code = (
        "import sys, grpc\n"
        "data = bytes.fromhex(sys.argv[2])\n"
        "call = grpc.insecure_channel(sys.argv[1]).unary_unary(sys.argv[3])\n"
        "calls = [call.future(data) for _ in range(64)]\n"
        "calls[0].code(); print('begun', flush=True)\n"
        "while True: calls = [call.future(data) for _ in range(64)]\n"
    )
    data = request_of(query=["red"] * 5).SerializeToString().hex()
    for _ in range(2):
        command = [sys.executable, "-c", code, address, data, PREDICT]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as client:
            assert client.stdout is not None
            assert client.stdout.readline() == "begun\n"
            client.kill()
    still_answers(address)
    assert process.is_running()


def test_a_slow_reader_keeps_nobody_waiting(victim: Victim) -> None:
    address = victim.address
    with grpc.insecure_channel(address, options=[("grpc.http2.lookahead_bytes", 1)]) as slow:
        begun = [Stubs(slow).prediction.Predict.future(request_of(query=["red"] * 4_000)) for _ in range(8)]
        still_answers(address)
        for call in begun:
            call.cancel()
    still_answers(address)
