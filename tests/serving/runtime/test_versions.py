"""New versions come in, old ones go, and no request notices."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import psutil
import pytest
from tensorflow_serving.apis import model_management_pb2

from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer
from serving.runtime.memory import give_back
from serving.server import wait_for_end
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of
from tests.serving.runtime.small_model import write_version
from tests.serving.runtime.test_batching import until

Serve = Callable[..., ModelServer]


@pytest.fixture
def base(models: Path, tmp_path: Path) -> Path:
    """A base path of its own with version 1."""
    copy = tmp_path / "retrieval"
    shutil.copytree(models, copy)
    return copy


@pytest.fixture
def connect() -> Iterator[Callable[[ModelServer], Stubs]]:
    channels = []

    def stubs(server: ModelServer) -> Stubs:
        channels.append(grpc.insecure_channel(f"127.0.0.1:{server.port}"))
        return Stubs(channels[-1])

    yield stubs
    for channel in channels:
        channel.close()


class Load:
    """Requests without a pause until it is ended; keeps the versions that answered and every failure."""

    def __init__(self, stubs: Stubs, threads: int = 4) -> None:
        self.versions: set[int] = set()
        self.failures: list[str] = []
        self.count = 0
        self._stubs, self._ended = stubs, threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]
        for thread in self._threads:
            thread.start()

    def _ask(self) -> None:
        while not self._ended.is_set():
            try:
                response = self._stubs.prediction.Predict(request_of(query=["red shoes"]), timeout=TIMEOUT)
                self.versions.add(response.model_spec.version.value)
                self.count += 1
            except grpc.RpcError as error:
                self.failures.append(str(error))

    def end(self) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_a_new_version_takes_over_under_load(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    stubs = connect(serve(base, poll_seconds=0.05))
    load = Load(stubs)
    until(lambda: load.count > 20)
    write_version(base, 2, seed=2)
    until(lambda: stubs.status() == {2: "AVAILABLE", 1: "END"})
    count = load.count
    until(lambda: load.count > count + 20)
    load.end()
    assert load.failures == []
    assert load.versions == {1, 2}


def test_a_corrupt_version_is_reported_and_the_old_one_stays(
    base: Path, serve: Serve, connect: Callable[..., Stubs]
) -> None:
    stubs = connect(serve(base, poll_seconds=0.05))
    aside = base / "aside"
    shutil.copytree(base / "1", aside)
    (aside / "variables" / "variables.index").write_bytes(b"nothing")
    aside.rename(base / "3")
    until(lambda: stubs.status() == {3: "END", 1: "AVAILABLE"})
    assert stubs.predict(query=["a"])["scores"].shape[0] == 1
    mended = base / "mended"
    shutil.copytree(base / "1", mended)
    shutil.rmtree(base / "3")
    mended.rename(base / "3")
    until(lambda: stubs.status() == {3: "AVAILABLE", 1: "END"})


def test_a_failing_warm_up_is_a_corrupt_version(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    stubs = connect(serve(base, poll_seconds=0.05))
    aside = base / "aside"
    shutil.copytree(base / "1", aside)
    (aside / "assets.extra" / "tf_serving_warmup_requests").write_bytes(b"no records" * 10)
    aside.rename(base / "2")
    until(lambda: stubs.status() == {2: "END", 1: "AVAILABLE"})


def test_a_server_starts_with_the_newest_that_loads(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    shutil.copytree(base / "1", base / "2")
    for version in (3, 4):
        (base / str(version)).mkdir()
    stubs = connect(serve(base, poll_seconds=0.05))
    assert stubs.status() == {4: "END", 3: "END", 2: "AVAILABLE"}
    aside = base / "aside"
    shutil.copytree(base / "1", aside)
    aside.rename(base / "5")
    until(lambda: stubs.status() == {5: "AVAILABLE", 4: "END", 3: "END", 2: "END"})


def test_a_good_version_behind_a_broken_one_is_served(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    server = serve(base, poll_seconds=0)
    stubs = connect(server)
    for version in (2, 3):
        shutil.copytree(base / "1", base / str(version))
    (base / "3" / "saved_model.pb").write_bytes(b"no graph")
    server.manager.configure([ModelConfig("retrieval", base)])
    until(lambda: stubs.status() == {3: "END", 2: "AVAILABLE", 1: "END"})


def test_what_is_freed_in_pieces_goes_back_to_the_system() -> None:
    process, size, count = psutil.Process(), 10_000, 20_000
    pieces = [b"x" * size for _ in range(count)]
    held = process.memory_info().rss
    kept = pieces[::100]  # each keeps the allocator's heap from shrinking past it
    pieces.clear()
    give_back()
    assert held - process.memory_info().rss > 0.7 * size * count, len(kept)


def test_folders_that_vanish_take_nothing_from_memory(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    server = serve(base, poll_seconds=0)
    stubs = connect(server)
    shutil.rmtree(base)
    server.manager.configure([ModelConfig("retrieval", base)])
    assert stubs.predict(query=["a"])["scores"].shape[0] == 1


def test_policies_labels_and_reload(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    for version in (2, 3):
        write_version(base, version, seed=version)
    server = serve(base, models=[ModelConfig("retrieval", base, 0, (), {"stable": 2, "canary": 3})])
    stubs = connect(server)
    assert stubs.status() == dict.fromkeys((1, 2, 3), "AVAILABLE")
    request = request_of(query=["a"])
    for label, version in (("stable", 2), ("canary", 3)):
        request.model_spec.version_label = label
        assert stubs.prediction.Predict(request, timeout=TIMEOUT).model_spec.version.value == version
    reload = model_management_pb2.ReloadConfigRequest()
    model = reload.config.model_config_list.config.add(name="other", base_path=str(base), model_platform="tensorflow")
    model.model_version_policy.specific.versions.append(2)
    assert stubs.model.HandleReloadConfigRequest(reload, timeout=TIMEOUT).status.error_code == 0
    assert stubs.status("other") == {2: "AVAILABLE"}
    with pytest.raises(grpc.RpcError) as caught:
        stubs.predict(query=["a"])
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND
    model.name = ""
    with pytest.raises(grpc.RpcError, match="without name"):
        stubs.model.HandleReloadConfigRequest(reload, timeout=TIMEOUT)
    assert stubs.status("other") == {2: "AVAILABLE"}


def test_reloads_that_wait_leave_status_its_threads(
    base: Path, serve: Serve, connect: Callable[..., Stubs], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(base)
    stubs, gate = connect(server), threading.Event()
    monkeypatch.setattr(server.manager, "reload", lambda models: gate.wait(TIMEOUT))
    reload = model_management_pb2.ReloadConfigRequest()
    reload.config.model_config_list.config.add(name="retrieval", base_path=str(base), model_platform="tensorflow")
    waiting = [stubs.model.HandleReloadConfigRequest.future(reload, timeout=TIMEOUT) for _ in range(12)]
    until(lambda: sum(one.done() for one in waiting) == 4)  # eight may wait
    assert {one.code() for one in waiting if one.done()} == {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert stubs.status() == {1: "AVAILABLE"}
    assert stubs.metadata().model_spec.version.value == 1
    gate.set()
    assert sorted(one.code().name for one in waiting) == ["OK"] * 8 + ["RESOURCE_EXHAUSTED"] * 4


def test_the_newest_two(base: Path, serve: Serve, connect: Callable[..., Stubs]) -> None:
    write_version(base, 2)
    server = serve(base, models=[ModelConfig("retrieval", base, 2)], poll_seconds=0.05)
    stubs = connect(server)
    write_version(base, 10)
    until(lambda: stubs.status() == {10: "AVAILABLE", 2: "AVAILABLE", 1: "END"})
    assert stubs.prediction.Predict(request_of(query=["a"]), timeout=TIMEOUT).model_spec.version.value == 10


def test_a_model_config_file_that_changes_is_taken_over(
    base: Path, serve: Serve, connect: Callable[..., Stubs], tmp_path: Path
) -> None:
    stubs, config, ended = connect(server := serve(base)), tmp_path / "models.config", threading.Event()

    def write(text: str) -> None:
        (tmp_path / "aside").write_text(text)
        (tmp_path / "aside").rename(config)

    write(f'model_config_list {{ config {{ name: "retrieval" base_path: "{base}" }} }}')
    waiting = threading.Thread(target=wait_for_end, args=(server, ended, str(config), 0.02))
    waiting.start()
    try:
        write("no config")
        write(f'model_config_list {{ config {{ name: "other" base_path: "{base}" }} }}')
        until(lambda: server.manager.available() == {"other": [1]})
        assert stubs.status("other") == {1: "AVAILABLE"}
    finally:
        ended.set()
        waiting.join()
