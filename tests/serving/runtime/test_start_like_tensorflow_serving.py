"""How TensorFlow Serving is started: ports and sockets, batches of allowed sizes, loads at a time."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.error import URLError

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serving.runtime.batch_arrays import merged, split
from serving.runtime.batching import Batcher, BatchingLimits
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer, Settings
from serving.runtime.lanes import Lane, Task
from serving.runtime.manager import Manager, Workers
from serving.runtime.prometheus import Metrics
from serving.runtime.rest import RestServer, RestSettings
from serving.runtime.servable import Servable
from serving.runtime.server_flags import arguments
from serving.runtime.settings import rest_settings_of, settings_of
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs

Serve = Callable[..., ModelServer]

# Flags -> gRPC's address, its socket, the REST port; port 0 of an address is a free one, None is none.
STARTS: dict[str, tuple[list[str], str | None, str | None, int | None]] = {
    "as it comes": ([], "127.0.0.1:8500", None, None),
    "free ports": (["--port=auto", "--rest_api_port=auto"], "127.0.0.1:0", None, 0),
    "no port": (["--port=0", "--grpc_socket_path=/tmp/x"], None, "unix:/tmp/x", None),
    "both": (["--port=1", "--grpc_socket_path=x", "--rest_api_port=2"], "127.0.0.1:1", "unix:x", 2),
    "REST is off": (["--rest_api_port=0"], "127.0.0.1:8500", None, None),
}


@pytest.mark.parametrize("flags, address, socket, rest", STARTS.values(), ids=STARTS)
def test_where_it_listens(models: Path, flags: list[str], address: str | None, socket: str | None, rest: int) -> None:
    given_flags = arguments(["--model_base_path", str(models), *flags])
    settings, rest_settings = settings_of(given_flags), rest_settings_of(given_flags)
    assert (settings.address, settings.socket) == (address, socket)
    assert (rest_settings.port if rest_settings else None) == rest


def test_a_socket_instead_of_a_port_outlives_a_server_that_was_killed(
    models: Path, serve: Serve, tmp_path: Path
) -> None:
    path = tmp_path / "socket"
    for _ in range(2):  # the file of the first is there when the second begins
        server = serve(models, address=None, socket=f"unix:{path}")
        assert (server.port, server.addresses) == (0, [f"unix:{path}"])
        with grpc.insecure_channel(f"unix:{path}") as channel:
            assert Stubs(channel).predict(query=["a"])["scores"].shape[0] == 1


def test_whoever_calls_while_models_are_loaded_is_refused_at_once(models: Path) -> None:
    server = ModelServer(Settings([ModelConfig("retrieval", models)], address="127.0.0.1:0"))
    rest = RestServer(server, RestSettings())
    server.bind()
    rest.bind()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel, pytest.raises(grpc.RpcError) as caught:
        Stubs(channel).predict(query=["a"])
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    with pytest.raises(URLError, match="refused"):
        Http(rest.port).post("/v1/models/retrieval:predict", {"instances": ["a"]})
    server.start()
    rest.start()
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        assert Stubs(channel).predict(query=["a"])
    server.stop(5, rest.stop)


def test_a_taken_port_is_known_before_a_model_is_loaded(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        server = ModelServer(Settings([ModelConfig("retrieval", models)], address=f"127.0.0.1:{port}"))
        with pytest.raises(OSError, match="in use"):
            server.bind()
        server.stop(0)


def doubled(rows: list[int]) -> Callable[[np.ndarray], list[np.ndarray]]:
    def call(x: np.ndarray) -> list[np.ndarray]:
        rows.append(len(x))
        return [2 * x]

    return call


@pytest.mark.parametrize("sent, ran", [(1, 2), (2, 2), (3, 8), (8, 8)])
def test_a_batch_is_filled_up_to_the_next_allowed_size(sent: int, ran: int) -> None:
    rows: list[int] = []
    batcher = Batcher(BatchingLimits(max_batch_size=8, allowed_batch_sizes=(2, 8)))
    lane = Lane("lane", doubled(rows), batchable=True)
    (answer,) = batcher.run(lane, Task([np.arange(sent)], sent))
    assert (answer.tolist(), rows) == ([2 * one for one in range(sent)], [ran])
    batcher.close()


def test_what_cannot_be_batched_is_not_filled_up() -> None:
    rows: list[int] = []
    batcher = Batcher(BatchingLimits(max_batch_size=8, allowed_batch_sizes=(2, 8)))
    assert len(batcher.run(Lane("lane", doubled(rows), batchable=False), Task([np.arange(1)], 1))[0]) == 1
    assert rows == [1]
    batcher.close()


@given(st.lists(st.integers(1, 4), min_size=1, max_size=5), st.integers(0, 5))
def test_each_request_gets_its_own_rows_back(rows: list[int], padding: int) -> None:
    requests = [[np.full((count, 2), number)] for number, count in enumerate(rows)]
    (together,) = merged(requests, padding)
    assert len(together) == sum(rows) + padding
    for request, (answer,) in zip(requests, split([together], rows), strict=True):
        assert np.array_equal(answer, request[0])


class Waiting(Servable):
    """A version that is loaded, and closed, only together with another."""

    def __init__(self, name: str, version: int, path: str, together: threading.Barrier) -> None:
        together.wait(TIMEOUT)
        self.name, self.version, self.path, self.users = name, version, path, 0
        self._together = together

    def close(self) -> None:
        self._together.wait(TIMEOUT)


@pytest.mark.parametrize("versions", [("a/1", "b/1"), ("a/1", "a/2")], ids=["of two models", "of one model"])
def test_versions_are_loaded_and_unloaded_at_a_time(versions: tuple[str, ...], tmp_path: Path) -> None:
    together = threading.Barrier(2)
    for one in versions:
        (tmp_path / one).mkdir(parents=True)
    manager = Manager(
        lambda *version: Waiting(*version, together), lambda _: None, Metrics(), 0, workers=Workers(load=2, unload=2)
    )
    configs = [ModelConfig(name, tmp_path / name, latest=0) for name in sorted({one[0] for one in versions})]
    manager.configure(configs)
    assert sum(map(len, manager.available().values())) == 2
    with ThreadPoolExecutor() as pool:
        pool.submit(manager.close).result(TIMEOUT)
    assert not together.broken
