"""The versions in memory: loads and warms new ones aside, switches, unloads the old when nobody holds them."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tensorflow_serving.apis import get_model_status_pb2

from serving.runtime.config_files import ModelConfig
from serving.runtime.memory import give_back
from serving.runtime.prometheus import Metrics
from serving.runtime.servable import Parallelism, Servable
from serving.runtime.status import ServingError, invalid, not_found, of_exception

State = get_model_status_pb2.ModelVersionStatus
_LOG = logging.getLogger("serving")


@dataclass
class Version:
    """A version that was seen, in memory or not."""

    number: int
    state: int = State.START
    error: ServingError | None = None
    servable: Servable | None = None
    seen: object = None  # what its files looked like when its load was last tried


@dataclass
class Model:
    """A configured model and its versions by number."""

    config: ModelConfig
    versions: dict[int, Version] = field(default_factory=dict)

    def available(self) -> list[int]:
        """What answers now, ascending."""
        return sorted(one.number for one in self.versions.values() if one.state == State.AVAILABLE)


class Manager:
    """Keeps memory and the folders in step; every request takes its version from here."""

    def __init__(
        self,
        warm_up: Callable[[Servable], None],
        metrics: Metrics,
        parallelism: Parallelism | None = None,
        poll_seconds: float = 1.0,
    ) -> None:
        self._warm_up, self._metrics = warm_up, metrics
        self._parallelism = parallelism or Parallelism()
        self._poll_seconds = poll_seconds
        self._models: dict[str, Model] = {}
        self._lock = threading.Lock()  # over _models, their versions and the servables' users
        self._idle = threading.Condition(self._lock)
        self._turn = threading.Lock()  # one change of what is loaded at a time
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._drains: list[threading.Thread] = []
        self.on_change: Callable[[], None] = lambda: None

    # What a request needs

    @contextlib.contextmanager
    def use(self, spec: Any) -> Iterator[Servable]:
        """The version that a `ModelSpec` names; it stays in memory inside the block."""
        with self._lock:
            servable = self._find(spec)
            servable.users += 1
        try:
            yield servable
        finally:
            with self._lock:
                servable.users -= 1
                if not servable.users:
                    self._idle.notify_all()

    def _find(self, spec: Any) -> Servable:
        if not spec.name:
            raise invalid("ModelSpec has no name specified.")
        model = self._models.get(spec.name)
        choice = spec.WhichOneof("version_choice")
        if choice == "version_label" and spec.version_label:
            number = model.config.labels.get(spec.version_label) if model else None
            if number is None:
                raise invalid(f"Unrecognized servable version label: {spec.version_label}")
        elif choice == "version":
            number = spec.version.value
        else:
            number = max(model.available(), default=None) if model else None
            if number is None:
                raise not_found(f"Servable not found for request: Latest({spec.name})")
        version = model.versions.get(number) if model else None
        if version is None or version.state != State.AVAILABLE or version.servable is None:
            raise not_found(f"Servable not found for request: Specific({spec.name}, {number})")
        return version.servable

    def known(self, name: str) -> str:
        """The name of a model that is served, "" for any other: metrics must not grow with what clients make up."""
        return name if name in self._models else ""

    # What is asked about it

    def status(self, spec: Any) -> list[tuple[int, int, ServingError | None]]:
        """(version, state, error) of one version or of all, newest first."""
        with self._lock:
            model = self._models.get(spec.name)
            versions = list(model.versions.values()) if model else []
            wanted = None
            if spec.WhichOneof("version_choice") == "version":
                wanted = spec.version.value
            elif spec.version_label:
                wanted = model.config.labels.get(spec.version_label) if model else None
                if wanted is None:
                    raise invalid(f"Unrecognized servable version label: {spec.version_label}")
            if wanted is not None:
                versions = [one for one in versions if one.number == wanted]
                if not versions:
                    raise not_found(f"Could not find version {wanted} of model {spec.name}")
            if not versions:
                raise not_found(f"Could not find any versions of model {spec.name}")
            return [
                (one.number, one.state, one.error)
                for one in sorted(versions, key=lambda version: version.number, reverse=True)
            ]

    def available(self) -> dict[str, list[int]]:
        """The versions that answer, by model."""
        with self._lock:
            return {name: model.available() for name, model in self._models.items()}

    # Keeping memory and folders in step

    def configure(self, configs: list[ModelConfig]) -> None:
        """Serves these models and no others; returns when each wanted version has been tried."""
        with self._turn:
            names = {config.name for config in configs}
            with self._lock:
                for config in configs:
                    model = self._models.get(config.name)
                    if model is None or model.config.base_path != config.base_path:
                        gone = list(model.versions.values()) if model else []
                        self._models[config.name] = Model(config)
                        self._retire(gone)
                    else:
                        model.config = config
                dropped = [name for name in self._models if name not in names]
                for name in dropped:
                    self._retire(list(self._models.pop(name).versions.values()))
            self._step()

    def watch(self) -> None:
        """Begins to look for new versions."""
        if self._poll_seconds > 0:
            self._thread = threading.Thread(target=self._watch, name="watch-versions", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Stops watching and unloads everything."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self.configure([])
        for drain in self._drains:
            drain.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                with self._turn:
                    self._step()
            except Exception:
                _LOG.exception("looking for versions failed; trying again")

    def _step(self) -> None:
        """One look at every folder: load what is new, then unload what is no longer wanted."""
        for model in list(self._models.values()):
            there = model.config.versions()
            wanted = model.config.wanted(there)
            for number in wanted:
                if not self._stop.is_set():
                    self._load_if_new(model, number)
            self._fall_back(model, there, wanted)
            self._unload_unwanted(model, wanted)

    def _fall_back(self, model: Model, there: list[int], wanted: list[int]) -> None:
        """Where none of the newest can be loaded, the newest before them that can, unless it or a newer one answers."""
        if model.config.specific or not wanted:
            return
        for number in reversed([one for one in there if one < wanted[0]]):
            with self._lock:
                newest = max(model.available(), default=-1)
            if number <= newest or self._stop.is_set():
                return
            self._load_if_new(model, number)

    def _load_if_new(self, model: Model, number: int) -> None:
        path = model.config.base_path / str(number)
        seen = _fingerprint(path)
        with self._lock:
            version = model.versions.get(number)
            if version is None:
                version = model.versions[number] = Version(number)
            if version.state == State.AVAILABLE or (version.state == State.END and version.seen == seen):
                return
            version.state, version.error, version.seen = State.LOADING, None, seen
        started = time.monotonic()
        servable, error = None, None
        try:
            servable = Servable(model.config.name, number, path, self._parallelism)
            self._warm(servable)
        except Exception as failure:
            error = of_exception(failure)
            if servable is not None:
                servable.close()
        spent = time.monotonic() - started
        status = error.code.name if error else "success"
        self._metrics.load_attempts(str(path), status).inc()
        self._metrics.load_latency(str(path)).inc(spent * 1e6)
        with self._lock:
            version.error = error
            version.servable = None if error else servable
            version.state = State.END if error else State.AVAILABLE
        if error:
            _LOG.error("%s version %d cannot be served: %s", model.config.name, number, error.message)
        else:
            _LOG.info("%s version %d is served, loaded and warmed in %.1f s", model.config.name, number, spent)
        self.on_change()
        give_back()

    def _warm(self, servable: Servable) -> None:
        started, status = time.monotonic(), "OK"
        try:
            self._warm_up(servable)
        except Exception as error:
            status = of_exception(error).code.name
            raise
        finally:
            spent = (time.monotonic() - started) * 1e6
            self._metrics.warmup_latency(str(servable.path), status).observe(spent)

    def _unload_unwanted(self, model: Model, wanted: list[int]) -> None:
        with self._lock:
            available = model.available()
            if not set(available) & set(wanted):  # the newest in memory go on, even if their files are gone
                wanted = available if model.config.specific else available[-model.config.latest :]
            gone = [model.versions[number] for number in available if number not in wanted]
            self._retire(gone)

    def _retire(self, versions: list[Version]) -> None:
        """Takes versions out of use (the lock is held); each is closed when its last request has its answer."""
        for version in versions:
            if version.servable is not None:
                version.state = State.UNLOADING
                drain = threading.Thread(target=self._drain, args=(version,), name="unload", daemon=True)
                self._drains = [one for one in self._drains if one.is_alive()]
                drain.start()
                self._drains.append(drain)

    def _drain(self, version: Version) -> None:
        name = self._close(version)
        give_back()
        with self._lock:
            version.state = State.END
        _LOG.info("%s version %d is unloaded", name, version.number)
        self.on_change()

    def _close(self, version: Version) -> str:
        """Closes what a version holds once no request does, and lets go of it to be freed; returns the model's name."""
        servable = version.servable
        assert servable is not None
        with self._idle:
            self._idle.wait_for(lambda: not servable.users)
            version.servable = None
        servable.close()
        return servable.name


def _fingerprint(path: Path) -> object:
    """Changes when a version's files do: what failed to load is tried again then."""
    found = []
    for name in ("saved_model.pb", "variables/variables.index"):
        with contextlib.suppress(OSError):
            stat = (path / name).stat()
            found.append((name, stat.st_mtime_ns, stat.st_size))
    return tuple(found)
