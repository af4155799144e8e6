"""The REST port under abuse: everything is bounded, gRPC does not notice, and both ports end in order."""

from __future__ import annotations

import gzip
import http.client
import json
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.runtime import json_slices, rest_limits
from serving.runtime.batching import BatchingLimits
from serving.runtime.grpc_server import ModelServer
from serving.runtime.rest import RestServer, RestSettings
from serving.runtime.rest_limits import values_in
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs
from tests.serving.runtime.test_batching import until
from tests.serving.runtime.test_operations import NOT_SERVING, held, waiting

PREDICT = "/v1/models/retrieval:predict"
HALF = b"POST /v1/models/retrieval:predict HTTP/1.1\r\nHost: x\r\n"
Rest = Callable[..., RestServer]


@pytest.fixture
def rest(server: ModelServer) -> Iterator[Rest]:
    """Starts REST ports of that server; all are stopped at the end."""
    started: list[RestServer] = []

    def start(**settings: Any) -> RestServer:
        one = RestServer(server, RestSettings(**settings))
        one.start()
        started.append(one)
        return one

    yield start
    for one in started:
        one.stop()


def connected(port: int, data: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT)
    connection.sendall(data)
    return connection


def ended(connection: socket.socket) -> bool:
    """Whether the other side has ended it."""
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


def answered(port: int) -> bool:
    try:
        return Http(port).post(PREDICT, {"instances": ["a"]})[0] == 200
    except OSError:
        return False


def test_more_half_sent_requests_than_a_process_has_descriptors(rest: Rest, stubs: Stubs) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = rest().port
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(connected(port, HALF)) for _ in range(1_100)]
            until(lambda: sum(map(ended, opened)) >= 1_100 - RestSettings.max_connections)
            assert stubs.predict(query=["red"])["scores"].shape[0] == 1
        until(lambda: answered(port))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_request_that_does_not_go_on_is_ended_and_one_between_requests_is_not(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rest_limits, "_LONGEST_HEAD", 0.5)
    port = rest().port
    with connected(port, HALF) as half, connected(port, b"") as mute:
        idle = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        for _ in range(2):
            idle.request("POST", PREDICT, b'{"instances": ["a"]}')
            assert idle.getresponse().read()
            until(lambda: ended(half) and ended(mute))
        idle.close()


def test_a_body_that_does_not_come_has_its_time(rest: Rest) -> None:
    with connected(rest(timeout=0.5).port, HALF + b"Content-Length: 100\r\n\r\n{") as slow:
        answer = http.client.HTTPResponse(slow)
        answer.begin()
        assert (answer.status, answer.read()) == (504, b'{"error":"the time for the request passed"}')
        assert slow.recv(1) == b""


def test_bodies_of_too_many_values_are_refused_before_they_are_parsed(
    rest: Rest, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[bytes] = []
    monkeypatch.setattr("serving.runtime.rest.read_body", parsed.append)
    body = b'{"instances": [' + b",".join([b'"a"'] * 3_900_000) + b"]}"
    status, answer = Http(rest().port).post(PREDICT, body)
    assert (status, "more values in one request than 4096 rows" in answer["error"], parsed) == (400, True, [])


def test_large_bodies_are_few_at_a_time_and_small_ones_go_on(rest: Rest) -> None:
    port = rest(max_body_bytes=1 << 20).port
    with ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(connected(port, HALF + b"Content-Length: 1000000\r\n\r\n{"))
        until(lambda: Http(port).post(PREDICT, b" " * 1_000_000)[0] == 429)
        assert answered(port)
    until(lambda: Http(port).post(PREDICT, b" " * 1_000_000)[0] == 400)


@pytest.mark.parametrize("body", [b"no gzip", gzip.compress(b"{}" * 99)[:-9]], ids=["no gzip", "cut short"])
def test_a_body_that_cannot_be_unpacked_is_the_clients_mistake(rest: Rest, body: bytes) -> None:
    assert zipped(rest().port, body) == 400


def test_what_grows_too_large_by_being_unpacked(rest: Rest) -> None:
    assert zipped(rest().port, gzip.compress(b" " * (1 << 26))) == 413


def zipped(port: int, body: bytes) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
    try:
        connection.request("POST", PREDICT, body, {"Content-Encoding": "gzip"})
        answer = connection.getresponse()
        assert "error" in json.loads(answer.read())
        return answer.status
    finally:
        connection.close()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def places(value: Any) -> int:
    """One for each thing in a container, one for an empty container."""
    if not isinstance(value, list | dict):
        return 0
    return max(1, len(value)) + sum(map(places, value.values() if isinstance(value, dict) else value))


@settings(deadline=None)
@given(JSON, st.integers(1, 9))
def test_values_are_counted_whatever_stands_in_strings_and_wherever_pieces_end(value: Any, piece: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_slices, "SLICE", piece)
        counted = values_in(json.dumps(value).encode(), 1 << 30)
        assert counted == 1 + places(value)
        assert values_in(json.dumps(['a,"[{\\', value]).encode(), 1 << 30) == counted + 2
        assert values_in(json.dumps(value).encode(), counted - 1) >= counted  # it stops behind what is too many


def test_both_ports_end_in_one_grace_health_first(models: Path, serve: Callable[..., ModelServer]) -> None:
    server = serve(models, batching=BatchingLimits(num_batch_threads=1))
    port = RestServer(server, RestSettings(host="127.0.0.1"))
    port.start()
    order: list[str] = []

    def beside() -> None:
        if server._health._server_status[""] == NOT_SERVING:
            order.append("health")
        port.stop()
        order.append("rest")

    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel, ThreadPoolExecutor() as pool:
        assert Stubs(channel).predict(query=["a"])
        with held(server) as release:
            over_rest = pool.submit(Http(port.port).post, PREDICT, {"instances": ["a"]})
            over_grpc = pool.submit(Stubs(channel).predict, query=["a"])
            until(lambda: waiting(server) == 2)
            stopped = threading.Thread(target=server.stop, args=(10 * TIMEOUT, beside))
            stopped.start()
            until(lambda: bool(order) and refused(port.port))
            assert order == ["health"] and stopped.is_alive()
            release()
        assert over_rest.result()[0] == 200
        assert over_grpc.result()["scores"].shape[0] == 1
        stopped.join()
    assert order == ["health", "rest"]


def refused(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=TIMEOUT).close()
    except ConnectionRefusedError:
        return True
    return False
