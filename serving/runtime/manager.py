"""The versions in memory: loads and warms new ones aside, switches, unloads the old when nobody holds them."""

from __future__ import annotations

import collections
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc

from serving.runtime.config_files import ModelConfig
from serving.runtime.memory import give_back
from serving.runtime.model_files import fingerprint, is_folder, versions_in
from serving.runtime.model_states import Model, Retries, Version, find
from serving.runtime.prometheus import Metrics
from serving.runtime.servable import Servable
from serving.runtime.status import ServingError, invalid, not_found, of_exception

_LOG = logging.getLogger("serving")
Load = Callable[[str, int, str], Servable]


@dataclass(frozen=True)
class Workers:
    """How many versions are loaded and unloaded at a time; loads without a thread of their own follow each other."""

    load: int = 0
    unload: int = 1


class Manager:
    """Keeps memory and the folders in step; every request takes its version from here."""

    def __init__(
        self,
        load: Load,
        warm_up: Callable[[Servable], None],
        metrics: Metrics,
        poll_seconds: float = 1.0,
        retries: Retries | None = None,
        labels_of_any: bool = False,
        workers: Workers | None = None,
    ) -> None:
        self._load, self._warm_up, self._metrics = load, warm_up, metrics
        self._poll_seconds, self._retries = poll_seconds, retries or Retries()
        self._labels_of_any = labels_of_any  # whether a new label may name a version that is not there yet
        workers = workers or Workers()
        self._loaders = ThreadPoolExecutor(workers.load, "load") if workers.load else None
        self._unloading = threading.Semaphore(workers.unload)
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
            servable = find(self._models, spec)
            servable.users += 1
        try:
            yield servable
        finally:
            with self._lock:
                servable.users -= 1
                if not servable.users:
                    self._idle.notify_all()

    def known(self, name: str) -> str:
        """The name of a model that is served, "" for any other: metrics must not grow with what clients make up."""
        return name if name in self._models else ""

    # What is asked about it

    def status(self, spec: Any) -> list[tuple[int, int, ServingError | None]]:
        """(version, state, error) of one version or of all, newest first; a label names none, as there."""
        with self._lock:
            model = self._models.get(spec.name)
            versions = dict(model.versions) if model else {}
            if spec.HasField("version"):
                wanted = spec.version.value
                if wanted not in versions:
                    raise not_found(f"Could not find version {wanted} of model {spec.name}")
                versions = {wanted: versions[wanted]}
            if not versions:
                raise not_found(f"Could not find any versions of model {spec.name}")
            return [(one.number, one.state, one.error) for _, one in sorted(versions.items(), reverse=True)]

    def available(self) -> dict[str, list[int]]:
        """The versions that answer, by model."""
        with self._lock:
            return {name: model.available() for name, model in self._models.items()}

    # Keeping memory and folders in step

    def reload(self, configs: list[ModelConfig]) -> None:
        """Serves these models and no others while the server runs; a `ServingError` says what of it cannot be."""
        with self._lock:
            known = {name: model.available() for name, model in self._models.items()}
            labels = {name: model.config.labels for name, model in self._models.items()}
        for config in configs:
            if not is_folder(config.base_path):
                raise invalid(f"Could not find base path {config.base_path} for servable {config.name}")
            for label, version in config.labels.items():
                new = labels.get(config.name, {}).get(label, version) == version
                if version not in known.get(config.name, []) and not (self._labels_of_any and new):
                    raise ServingError(
                        grpc.StatusCode.FAILED_PRECONDITION,
                        f"Request to assign label to version {version} of model {config.name}, which is not currently "
                        "available for inference",
                    )
        self.configure(configs)
        available = self.available()
        failed = [config.name for config in configs if config.name not in known and not available[config.name]]
        if failed:
            raise ServingError(
                grpc.StatusCode.UNKNOWN, f"Some models did not become available: {{{', '.join(failed)}}}"
            )

    def configure(self, configs: list[ModelConfig]) -> None:
        """Serves these models and no others; returns when each wanted version has been tried."""
        with self._turn:
            names = {config.name for config in configs}
            with self._lock:
                for config in configs:
                    model = self._models.get(config.name)
                    if model is None or model.config.base_path != config.base_path:
                        self._models[config.name] = Model(config)
                        self._retire(model.versions.values() if model else ())
                    else:
                        model.config = config
                dropped = [name for name in self._models if name not in names]
                for name in dropped:
                    self._retire(self._models.pop(name).versions.values())
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
        if self._loaders is not None:
            self._loaders.shutdown()

    def look(self) -> None:
        """One look at every folder: loads what is new, then unloads what is no longer wanted."""
        with self._turn:
            self._step()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self.look()
            except Exception:
                _LOG.exception("looking for versions failed; trying again")

    def _step(self) -> None:
        models = list(self._models.values())
        for group in [models] if self._loaders else [[one] for one in models]:
            looked = [(model, versions_in(model.config.base_path)) for model in group]
            # A folder that cannot be read now says nothing of its versions.
            seen = [(model, there, model.config.wanted(there)) for model, there in looked if there is not None]
            self._load_all([(model, number, there[number]) for model, there, wanted in seen for number in wanted])
            for model, there, wanted in seen:
                self._fall_back(model, there, wanted)
                with self._lock:
                    self._retire(model.unwanted(wanted))

    def _load_all(self, jobs: list[tuple[Model, int, str]]) -> None:
        loaded = (self._loaders.map if self._loaders else map)(lambda job: self._load_if_due(*job), jobs)
        collections.deque(loaded, maxlen=0)

    def _fall_back(self, model: Model, there: dict[int, str], wanted: list[int]) -> None:
        """Where none of the newest can be loaded, the newest before them that can, unless it or a newer one answers."""
        if model.config.specific or not wanted:
            return
        for number in sorted((one for one in there if one < wanted[0]), reverse=True):
            with self._lock:
                newest = max(model.available(), default=-1)
            if number <= newest:
                return
            self._load_if_due(model, number, there[number])

    def _load_if_due(self, model: Model, number: int, path: str) -> None:
        if self._stop.is_set():
            return
        with self._lock:
            version = model.versions.setdefault(number, Version(number))
            if version.servable is not None:
                return
        files = fingerprint(path)
        with self._lock:
            if not version.due(files, time.monotonic(), self._retries):
                return
            version.begin(files, time.monotonic())
        started = time.monotonic()
        try:
            servable = self._loaded(model.config.name, number, path)
        except Exception as failure:
            error = of_exception(failure)
            with self._lock:
                version.failed(error)
            _LOG.error("%s version %d cannot be served: %s", model.config.name, number, error.message)
        else:
            with self._lock:
                version.loaded(servable)
            spent = time.monotonic() - started
            _LOG.info("%s version %d is served, loaded and warmed in %.1f s", model.config.name, number, spent)
        self.on_change()
        give_back()

    def _loaded(self, name: str, number: int, path: str) -> Servable:
        """A version loaded and warmed, and the time of it."""
        started, status = time.monotonic(), "fail"
        try:
            servable = self._load(name, number, path)
            status = "success"
        finally:
            self._metrics.load_attempts(path, status).inc()
            self._metrics.load_latency(path).inc((time.monotonic() - started) * 1e6)
        try:
            self._warm(servable)
        except BaseException:
            servable.close()
            raise
        return servable

    def _warm(self, servable: Servable) -> None:
        started, status = time.monotonic(), "OK"
        try:
            self._warm_up(servable)
        except Exception as error:
            status = of_exception(error).code.name
            raise
        finally:
            spent = (time.monotonic() - started) * 1e6
            self._metrics.warmup_latency(servable.path, status).observe(spent)

    def _retire(self, versions: Iterable[Version]) -> None:
        """Takes versions out of use (the lock is held); each is closed when its last request has its answer."""
        self._drains = [one for one in self._drains if one.is_alive()]
        for version in versions:
            servable = version.retire()
            if servable is not None:
                drain = threading.Thread(target=self._drain, args=(version, [servable]), name="unload", daemon=True)
                drain.start()
                self._drains.append(drain)

    def _drain(self, version: Version, held: list[Servable]) -> None:
        name = self._close(version, held)
        give_back()
        _LOG.info("%s version %d is unloaded", name, version.number)
        self.on_change()

    def _close(self, version: Version, held: list[Servable]) -> str:
        """Closes what a version held once no request does, and lets go of it to be freed; returns the model's name.

        The version itself may answer by another servable by then.
        """
        servable = held.pop()
        with self._idle:
            self._idle.wait_for(lambda: not servable.users)
        with self._unloading:
            servable.close()
        with self._lock:
            version.drained(servable)
        return servable.name
