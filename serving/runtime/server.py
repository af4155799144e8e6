"""The gRPC server: services, health, reflection, limits and an orderly end."""

from __future__ import annotations

import logging
from concurrent import futures
from dataclasses import dataclass, field

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from serving.runtime.admission import Admission
from serving.runtime.batching import Batcher, BatchingLimits
from serving.runtime.descriptors import MODEL_SERVICE, PREDICTION_SERVICE, register_services
from serving.runtime.handlers import add_service
from serving.runtime.manager import Manager
from serving.runtime.metrics import Metrics
from serving.runtime.model_config import ModelConfig
from serving.runtime.predictor import Predictor, RequestLimits
from serving.runtime.servable import Parallelism, Servable
from serving.runtime.services import ModelService, PredictionService
from serving.runtime.warmup import warm_up

_LOG = logging.getLogger("serving")
_SPARE_THREADS = 16  # for status, health and refusals while every place is taken


@dataclass(frozen=True)
class Settings:
    """How a server runs."""

    models: list[ModelConfig]
    address: str = "127.0.0.1:8500"
    batching: BatchingLimits = field(default_factory=BatchingLimits)
    limits: RequestLimits = field(default_factory=RequestLimits)
    parallelism: Parallelism = field(default_factory=Parallelism)
    poll_seconds: float = 1.0
    max_message_bytes: int = 16 << 20
    credentials: grpc.ServerCredentials | None = None
    channel_arguments: tuple[tuple[str, str | int], ...] = ()
    warm_up: bool = True


class ModelServer:
    """Models, their batcher and the gRPC port."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.metrics = Metrics()
        self.manager = Manager(self._warm_up, self.metrics, settings.parallelism, settings.poll_seconds)
        self.batcher = Batcher(settings.batching, self.metrics)
        self.predictor = Predictor(self.manager, self.batcher, settings.limits, self.metrics)
        self.admission = Admission(settings.limits.max_concurrency)
        self._health = health.HealthServicer()
        self._grpc = self._build()
        self.port = 0
        self.manager.on_change = self._tell_health
        self.metrics.gauge(
            ":tensorflow:serving:requests_in_flight",
            "Requests being answered.",
            (),
            lambda: {(): self.admission.inside},
        )
        self.metrics.gauge(
            ":tensorflow:serving:model_version_available",
            "Versions that answer.",
            ("model_name", "version"),
            lambda: {(name, str(one)): 1.0 for name, versions in self.manager.available().items() for one in versions},
        )

    def start(self) -> None:
        """Loads the models, then opens the port."""
        self.manager.configure(self.settings.models)
        self.manager.watch()
        self._grpc.start()
        self._tell_health()

    def stop(self, drain_seconds: float) -> None:
        """Says that it goes, takes no more, lets what is inside be answered, gives the memory back."""
        self._health.enter_graceful_shutdown()
        self._grpc.stop(drain_seconds).wait()
        self.manager.close()

    def _build(self) -> grpc.Server:
        settings = self.settings
        options = [
            ("grpc.max_receive_message_length", settings.max_message_bytes),
            ("grpc.max_send_message_length", -1),
            ("grpc.so_reuseport", 0),
            *settings.channel_arguments,
        ]
        threads = settings.limits.max_concurrency + _SPARE_THREADS
        server = grpc.server(
            futures.ThreadPoolExecutor(threads, thread_name_prefix="grpc"),
            options=options,
            maximum_concurrent_rpcs=threads,  # one more is refused by gRPC itself, before it costs a thread
        )
        register_services()
        add_service(server, PREDICTION_SERVICE, PredictionService(self.predictor, self.metrics, self.admission))
        add_service(server, MODEL_SERVICE, ModelService(self.manager))
        health_pb2_grpc.add_HealthServicer_to_server(self._health, server)
        names = (PREDICTION_SERVICE, MODEL_SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
        return server

    def bind(self) -> int:
        """Takes the port, so that a taken one is known before a model is loaded."""
        address, credentials = self.settings.address, self.settings.credentials
        if credentials is None:
            self.port = self._grpc.add_insecure_port(address)
        else:
            self.port = self._grpc.add_secure_port(address, credentials)
        return self.port

    def _warm_up(self, servable: Servable) -> None:
        if self.settings.warm_up:
            warm_up(self.predictor, servable)

    def _tell_health(self) -> None:
        """The server is well when every model has a version that answers; a model's own name can be asked too."""
        available = self.manager.available()
        for name, versions in available.items():
            self._health.set(name, _health_of(bool(versions)))
        whole = _health_of(bool(available) and all(available.values()))
        for name in ("", PREDICTION_SERVICE, MODEL_SERVICE):
            self._health.set(name, whole)


def _health_of(well: bool) -> health_pb2.HealthCheckResponse.ServingStatus:
    status = health_pb2.HealthCheckResponse
    return status.SERVING if well else status.NOT_SERVING
