"""The gRPC server: services, health, reflection, limits and an orderly end.

It runs in an event loop of its own: that costs less than a thread for every call, and takes calls in the order in which
they came, so that those too many are refused in time.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import grpc
import uvloop
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from serving.runtime.batching import Batcher, BatchingLimits
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_handlers import MODEL_SERVICE, PREDICTION_SERVICE, add_service, register_services
from serving.runtime.manager import Manager, Workers
from serving.runtime.model_states import Retries
from serving.runtime.ports import reserve
from serving.runtime.predictor import Admission, Predictor, RequestLimits
from serving.runtime.prometheus import Metrics
from serving.runtime.request_log import RequestLog, RequestLogSettings
from serving.runtime.servable import Parallelism, Servable
from serving.runtime.services import ModelService, PredictionService

_LOG = logging.getLogger("serving")
_SPARE_CALLS = 16  # for status, health and refusals while every place is taken
_STATUS_THREADS = 4  # for the calls that may wait: metadata, status, reloads


@dataclass(frozen=True)
class Settings:
    """How a server runs."""

    models: list[ModelConfig]
    address: str | None = "127.0.0.1:8500"
    socket: str | None = None  # gRPC's name of a Unix socket
    batching: BatchingLimits = field(default_factory=BatchingLimits)
    limits: RequestLimits = field(default_factory=RequestLimits)
    parallelism: Parallelism = field(default_factory=Parallelism)
    poll_seconds: float = 1.0
    max_message_bytes: int = 16 << 20
    credentials: grpc.ServerCredentials | None = None
    channel_arguments: tuple[tuple[str, str | int], ...] = ()
    warm_up: bool = True
    retries: Retries = field(default_factory=Retries)
    labels_of_any: bool = False
    workers: Workers = field(default_factory=Workers)
    request_log: RequestLogSettings | None = None


class ModelServer:
    """Models, their batcher and the gRPC port."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._request_log = RequestLog(settings.request_log) if settings.request_log is not None else None
        self.metrics = Metrics()
        self.manager = Manager(
            self._load,
            self._warm_up,
            self.metrics,
            settings.poll_seconds,
            settings.retries,
            settings.labels_of_any,
            settings.workers,
        )
        self.batcher = Batcher(settings.batching, self.metrics)
        self.predictor = Predictor(self.manager, self.batcher, settings.limits, self.metrics, self._request_log)
        self.admission = Admission(settings.limits.max_concurrency)
        self._health = health.aio.HealthServicer()
        self._ends = False
        self._loop = uvloop.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="grpc", daemon=True)
        self._thread.start()
        self._grpc: grpc.aio.Server = self._in_loop(self._build())
        self.port = 0
        self.addresses: list[str] = []  # that it listens on
        self._reserved: socket.socket | None = None
        self.manager.on_change = self._tell_health
        self.metrics.in_flight(lambda: self.admission.inside)
        self.metrics.available(self.manager.available)

    def start(self) -> None:
        """Loads the models, then opens the port; `RuntimeError` where that cannot be."""
        self.manager.configure(self.settings.models)
        self.manager.watch()
        self._listen()
        self._in_loop(self._grpc.start())
        self._tell_health()

    def stop(self, drain_seconds: float, beside: Callable[[], None] = lambda: None) -> None:
        """Says that it goes, takes no more, lets what is inside be answered, gives the memory back.

        Another port of this server ends beside it, so that one time is enough for both.
        """
        if self._loop.is_closed():
            return
        self._ends = True
        self._in_loop(self._health.enter_graceful_shutdown())
        other = threading.Thread(target=beside, name="end-of-the-other-port")
        other.start()
        self._in_loop(self._grpc.stop(drain_seconds))
        other.join()
        self.manager.close()
        self.batcher.close()
        if self._request_log is not None:
            self._request_log.close()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def _in_loop(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _build(self) -> grpc.aio.Server:
        settings = self.settings
        most = settings.limits.max_concurrency + _SPARE_CALLS
        options = [
            # What Python has not taken in yet: without a bound, calls would wait there until their deadlines.
            ("grpc.server.max_pending_requests", most),
            ("grpc.server.max_pending_requests_hard_limit", most),
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            *settings.channel_arguments,
        ]
        server = grpc.aio.server(
            migration_thread_pool=ThreadPoolExecutor(_STATUS_THREADS, thread_name_prefix="status"),
            options=options,
            maximum_concurrent_rpcs=most,
        )
        register_services()
        add_service(server, PREDICTION_SERVICE, PredictionService(self.predictor, self.metrics, self.admission))
        add_service(server, MODEL_SERVICE, ModelService(self.manager))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    def bind(self) -> None:
        """Reserves its port, so that a taken one is known before a model is loaded; `OSError` where it is."""
        if self.settings.address is not None:
            host, _, port = self.settings.address.rpartition(":")
            self._reserved = reserve(host, int(port))
            self.port = self._reserved.getsockname()[1]
            self.addresses.append(f"{host}:{self.port}")
        if self.settings.socket is not None:
            self.addresses.append(self.settings.socket)

    def _listen(self) -> None:
        """gRPC takes connections in from here on, which is why it is not earlier: calls would wait for the models."""
        credentials = self.settings.credentials
        for address in self.addresses:
            if credentials is None:
                self._grpc.add_insecure_port(address)
            else:
                self._grpc.add_secure_port(address, credentials)
        if self._reserved is not None:
            self._reserved.close()

    def _load(self, name: str, version: int, path: str) -> Servable:
        return Servable(name, version, path, self.settings.parallelism)

    def _warm_up(self, servable: Servable) -> None:
        if self.settings.warm_up:
            self.predictor.warm_up(servable)

    def is_well(self, model: str = "") -> bool:
        """What the health service says: whether every model has a version that answers, or one of them has."""
        available = self.manager.available()
        well = bool(available.get(model)) if model else bool(available) and all(available.values())
        return well and not self._ends

    def _tell_health(self) -> None:
        """The server is well when every model has a version that answers; a model's own name can be asked too."""
        told = {name: _health_of(self.is_well(name)) for name in self.manager.available()}
        told |= dict.fromkeys(("", PREDICTION_SERVICE, MODEL_SERVICE), _health_of(self.is_well()))
        self._in_loop(self._set_health(told))

    async def _set_health(self, told: dict[str, health_pb2.HealthCheckResponse.ServingStatus]) -> None:
        for name, status in told.items():
            await self._health.set(name, status)


def _health_of(well: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    status = health_pb2.HealthCheckResponse
    return status.SERVING if well else status.NOT_SERVING
