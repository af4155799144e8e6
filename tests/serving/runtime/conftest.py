"""Small models on disk and real servers over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
import tensorflow as tf

from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer, Settings
from tests.serving.runtime.serving_stubs import Stubs
from tests.serving.runtime.small_model import write_version

Serve = Callable[..., ModelServer]


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base path with version 1."""
    base = tmp_path_factory.mktemp("models") / "retrieval"
    base.mkdir()
    write_version(base, 1)
    return base


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts servers on free ports; all are stopped at the end."""
    started: list[ModelServer] = []

    def start(base: Path, **settings: Any) -> ModelServer:
        configs = settings.pop("models", [ModelConfig("retrieval", base)])
        server = ModelServer(Settings(configs, **{"address": "127.0.0.1:0", **settings}))
        server.bind()
        server.start()
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop(5)


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[ModelServer]:
    """One server that many tests only ask."""
    one = ModelServer(Settings([ModelConfig("retrieval", models)], address="127.0.0.1:0"))
    one.bind()
    one.start()
    yield one
    one.stop(5)


@pytest.fixture(scope="session")
def stubs(server: ModelServer) -> Iterator[Stubs]:
    """Generated stubs of that server."""
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield Stubs(channel)


@pytest.fixture(scope="session")
def loaded(models: Path) -> Any:
    """Version 1 as TensorFlow itself loads it: what the server must answer like."""
    return tf.saved_model.load(str(models / "1"))
