"""The part of Vertex AI's job service that a submission meets, as a gRPC server of its own messages."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent import futures
from contextlib import contextmanager
from typing import Any

import grpc
from google.cloud import aiplatform_v1 as api
from google.cloud.aiplatform_v1.services.job_service.transports import JobServiceGrpcTransport

_SERVICE = "google.cloud.aiplatform.v1.JobService"


class FakeVertex:
    """Takes jobs; each look at one shows the next of `states`, or fails once where that is an error."""

    def __init__(self, states: Sequence[Any] = (), refuse: str | None = None) -> None:
        self.requests: list[Any] = []
        self._states = list(states)
        self._refuse = refuse
        self._job: Any = None

    def handlers(self) -> grpc.GenericRpcHandler:
        methods = {
            "CreateCustomJob": (api.CreateCustomJobRequest, api.CustomJob, self._create),
            "GetCustomJob": (api.GetCustomJobRequest, api.CustomJob, self._get),
            "CreateHyperparameterTuningJob": (
                api.CreateHyperparameterTuningJobRequest,
                api.HyperparameterTuningJob,
                self._create,
            ),
            "GetHyperparameterTuningJob": (
                api.GetHyperparameterTuningJobRequest,
                api.HyperparameterTuningJob,
                self._get,
            ),
        }
        return grpc.method_handlers_generic_handler(
            _SERVICE,
            {
                name: grpc.unary_unary_rpc_method_handler(
                    answer, request_deserializer=asked.deserialize, response_serializer=answered.serialize
                )
                for name, (asked, answered, answer) in methods.items()
            },
        )

    def _create(self, request: Any, context: grpc.ServicerContext) -> Any:
        self.requests.append(request)
        if self._refuse:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, self._refuse)
        search = isinstance(request, api.CreateHyperparameterTuningJobRequest)
        self._job = request.hyperparameter_tuning_job if search else request.custom_job
        self._job.name = f"{request.parent}/{'hyperparameterTuningJobs' if search else 'customJobs'}/42"
        self._job.state = api.JobState.JOB_STATE_QUEUED
        return self._job

    def _get(self, request: Any, context: grpc.ServicerContext) -> Any:
        assert request.name == self._job.name
        change = self._states.pop(0)
        if isinstance(change, grpc.StatusCode):
            context.abort(change, "for a moment")
        for name, value in change.items():
            setattr(self._job, name, value)
        return self._job


@contextmanager
def serving(vertex: FakeVertex) -> Iterator[api.JobServiceClient]:
    """A client of the library's own, connected to `vertex`."""
    server = grpc.server(futures.ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((vertex.handlers(),))
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    channel = grpc.insecure_channel(f"127.0.0.1:{port}")
    try:
        yield api.JobServiceClient(transport=JobServiceGrpcTransport(channel=channel))
    finally:
        channel.close()
        server.stop(None)
