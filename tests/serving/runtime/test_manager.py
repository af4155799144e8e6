"""The manager beside a model of the rules: whatever happens to folders, config and requests, both say the same."""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tensorflow_serving.apis import model_pb2

from serving.runtime import manager as manager_module
from serving.runtime.config_files import ModelConfig
from serving.runtime.manager import Manager, Workers
from serving.runtime.model_states import Retries, State
from serving.runtime.prometheus import Metrics
from serving.runtime.servable import Servable
from serving.runtime.status import ServingError

NAME, GRAPH, DATA = "retrieval", "saved_model.pb", "variables/variables.data-00000-of-00001"
NUMBERS = st.integers(1, 5)


class Loaded(Servable):
    """A version in memory without a graph."""

    def __init__(self, name: str, version: int, path: str) -> None:
        if Path(path, DATA).read_text() != "good":
            raise ValueError("corrupt")
        self.name, self.version, self.path = name, version, path
        self.users, self.closed = 0, False

    def close(self) -> None:
        assert not self.users and not self.closed
        self.closed = True


_MOMENTS = itertools.count(time.time_ns(), 1_000_000)


def write(base: Path, folder: str, content: str | None) -> None:
    """A version's files; without content its data file is still on its way."""
    (base / folder / "variables").mkdir(parents=True, exist_ok=True)
    (base / folder / GRAPH).write_text("graph")
    if content is not None:
        (base / folder / DATA).write_text(content)
        moment = next(_MOMENTS)  # two writes within one tick of the disk's clock would look like one
        os.utime(base / folder / DATA, ns=(moment, moment))


def spec(**choice: Any) -> model_pb2.ModelSpec:
    found = model_pb2.ModelSpec(name=NAME, version_label=choice.get("label", ""))
    if "version" in choice:
        found.version.value = choice["version"]
    return found


def answers(manager: Manager, **choice: Any) -> int | None:
    """The version that answers a request, None where none does."""
    try:
        with manager.use(spec(**choice)) as servable:
            assert not servable.closed  # type: ignore[attr-defined]
            return servable.version
    except ServingError:
        return None


@pytest.fixture(autouse=True, scope="module")
def quick() -> Iterator[None]:
    """Fake versions leave no memory behind."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manager_module, "give_back", lambda: None)
        yield


def managed(retries: Retries | None = None, workers: Workers | None = None) -> Manager:
    return Manager(Loaded, lambda servable: None, Metrics(), 0, retries or Retries(most=0), workers=workers)


class Versions(RuleBasedStateMachine):
    """TensorFlow Serving's rules, and ours beside them: what loads is the newest that can be loaded."""

    @initialize(loads=st.sampled_from([0, 2]))
    def start(self, loads: int) -> None:
        self.base = Path(tempfile.mkdtemp())
        self.files: dict[int, str | None] = {}  # on disk: good, bad, or None while the data file is missing
        self.failed: dict[int, str | None] = {}  # content that was tried in vain
        self.config = ModelConfig(NAME, self.base)
        self.serving: list[int] = []
        self.held: list[tuple[ExitStack, Any]] = []
        self.manager = managed(workers=Workers(loads))
        self.configure()

    def configure(self) -> None:
        self.manager.configure([self.config])
        self.advance()

    # What a model of the rules expects of one look at the folder

    def load(self, version: int) -> bool:
        """Whether a version answers, loaded now or before."""
        if version in self.serving:
            return True
        if self.failed.get(version, "") == self.files[version]:
            return False
        if self.files[version] == "good":
            self.failed.pop(version, None)
            self.serving = sorted([*self.serving, version])
            return True
        self.failed[version] = self.files[version]
        return False

    def advance(self) -> None:
        wanted = self.config.wanted(self.files)
        ready = [version for version in wanted if self.load(version)]
        if not ready and wanted and not self.config.specific:
            for version in sorted((one for one in self.files if one < wanted[0]), reverse=True):
                if version <= max(self.serving, default=0) or self.load(version):
                    break
        self.serving = ready or self.serving[-1:]

    # What happens

    @rule(version=NUMBERS, content=st.sampled_from(["good", "bad", None]), zeros=st.booleans())
    def appears(self, version: int, content: str | None, zeros: bool) -> None:
        if version not in self.files:
            write(self.base, f"{'00' if zeros else ''}{version}", content)
            self.files[version] = content
            self.failed.pop(version, None)  # other files than those that failed

    @rule(version=NUMBERS, content=st.sampled_from(["good", "bad "]))
    def data_arrives_or_is_mended(self, version: int, content: str) -> None:
        if version in self.files and self.files[version] != content:
            (folder,) = [one for one in self.base.iterdir() if one.is_dir() and int(one.name) == version]
            write(self.base, folder.name, content)
            self.files[version] = content

    @rule(version=NUMBERS)
    def vanishes(self, version: int) -> None:
        if version in self.files:
            (folder,) = [one for one in self.base.iterdir() if one.is_dir() and int(one.name) == version]
            shutil.rmtree(folder)
            del self.files[version]

    @rule(
        policy=st.one_of(st.integers(0, 3), st.sets(NUMBERS, min_size=1)),
        labels=st.dictionaries(st.sampled_from(["stable", "canary"]), NUMBERS),
    )
    def reload(self, policy: int | set[int], labels: dict[str, int]) -> None:
        if isinstance(policy, int):
            self.config = ModelConfig(NAME, self.base, policy, (), labels)
        else:
            self.config = ModelConfig(NAME, self.base, 1, tuple(policy), labels)
        self.configure()

    @rule()
    def look(self) -> None:
        self.manager.look()
        self.advance()

    @precondition(lambda self: self.serving)
    @rule(data=st.data())
    def a_request_begins(self, data: st.DataObject) -> None:
        stack = ExitStack()
        version = data.draw(st.sampled_from(self.serving))
        self.held.append((stack, stack.enter_context(self.manager.use(spec(version=version)))))

    @precondition(lambda self: self.held)
    @rule()
    def a_request_ends(self) -> None:
        stack, servable = self.held.pop(0)
        assert not servable.closed  # type: ignore[attr-defined]
        stack.close()

    # What must be so at any time

    @invariant()
    def the_manager_serves_what_the_rules_say(self) -> None:
        if not hasattr(self, "manager"):
            return
        assert self.manager.available() == {NAME: self.serving}
        assert answers(self.manager) == max(self.serving, default=None)
        for version in range(1, 6):
            assert answers(self.manager, version=version) == (version if version in self.serving else None)
        for label in ("stable", "canary"):
            named = self.config.labels.get(label)
            assert answers(self.manager, label=label) == (named if named in self.serving else None)

    @invariant()
    def requests_hold_what_they_began_with(self) -> None:
        assert not any(servable.closed for _, servable in getattr(self, "held", []))

    def teardown(self) -> None:
        for stack, _ in self.held:
            stack.close()
        self.manager.close()
        assert all(servable.closed for _, servable in self.held)
        shutil.rmtree(self.base)


TestVersions = Versions.TestCase
TestVersions.settings = settings(
    max_examples=150, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    for version in (1, 2):
        write(tmp_path, str(version), "good")
    return tmp_path


def test_rolling_back_and_forward_again(base: Path) -> None:
    manager = managed()
    for specific, wanted in (((), 2), ((1,), 1), ((), 2), ((2,), 2), ((1,), 1), ((2,), 2)):
        manager.configure([ModelConfig(NAME, base, 1, specific)])
        assert answers(manager) == wanted
    manager.close()


def test_rolling_back_and_forward_while_the_old_one_drains(base: Path) -> None:
    manager = managed()
    manager.configure([ModelConfig(NAME, base)])
    with manager.use(spec()) as held:
        manager.configure([ModelConfig(NAME, base, 1, (1,))])
        assert {number: state for number, state, _ in manager.status(spec())}[2] == State.UNLOADING
        manager.configure([ModelConfig(NAME, base)])
        assert answers(manager) == 2
        assert not held.closed  # type: ignore[attr-defined]
    for drain in manager._drains:
        drain.join()
    assert held.closed  # type: ignore[attr-defined]
    assert answers(manager) == 2
    assert [(number, state) for number, state, _ in manager.status(spec())] == [(2, State.AVAILABLE), (1, State.END)]
    manager.close()


def test_a_load_that_failed_by_chance_is_tried_again(base: Path) -> None:
    chances = iter([OSError("storage"), OSError("storage"), None])

    def load(name: str, version: int, path: str) -> Loaded:
        if error := next(chances):
            raise error
        return Loaded(name, version, path)

    shutil.rmtree(base / "1")
    for most, wanted in ((1, None), (2, 2)):
        chances = iter([OSError("storage"), OSError("storage"), None])
        manager = Manager(load, lambda servable: None, Metrics(), 0, Retries(most, seconds=0))
        manager.configure([ModelConfig(NAME, base)])
        for _ in range(3):
            manager.look()
        assert answers(manager) == wanted
        manager.close()


@pytest.mark.parametrize("folder", ["99999999999999999999999", "-1", "١", "1e3", "3.0", "2024-01-01"])
def test_a_folder_that_is_no_version_disturbs_nobody(base: Path, folder: str) -> None:
    write(base, folder, "good")
    manager = managed()
    manager.configure([ModelConfig(NAME, base)])
    assert manager.available() == {NAME: [2]}
    manager.close()


def test_a_folder_that_cannot_be_read_now_changes_nothing(base: Path) -> None:
    manager = managed()
    manager.configure([ModelConfig(NAME, base, 0)])
    base.rename(base.with_name("away"))
    manager.look()
    assert manager.available() == {NAME: [1, 2]}
    manager.close()


def test_requests_of_many_threads_never_see_a_closed_version(base: Path) -> None:
    manager, ended, seen = managed(), threading.Event(), set()
    manager.configure([ModelConfig(NAME, base)])

    def ask() -> None:
        while not ended.is_set():
            seen.add(answers(manager))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for turn in range(200):
        manager.configure([ModelConfig(NAME, base, 1, (1 + turn % 2,))])
    ended.set()
    for thread in threads:
        thread.join()
    assert seen == {1, 2}
    manager.close()
