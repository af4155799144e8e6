"""TensorFlow Serving's gRPC services."""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
)

from preprocessing.command.console import UserError
from serving.runtime.config_files import models_of
from serving.runtime.manager import Manager
from serving.runtime.predictor import Admission, Predictor
from serving.runtime.prometheus import Metrics
from serving.runtime.status import ServingError, code_of, invalid, of_exception, too_late

_LOG = logging.getLogger("serving")
_MOST_RELOADS = 8  # that wait for their turn
_LONGEST = 2_000  # characters of a status' message
_NO_EXAMPLES = (
    "{} takes tf.Examples and a signature of method {}; a retrieval model has predict signatures only: call Predict"
)


class PredictionService:
    """Predict and GetModelMetadata; what takes tf.Examples this model cannot answer."""

    def __init__(self, predictor: Predictor, metrics: Metrics, admission: Admission) -> None:
        self._predictor, self._metrics, self._admission = predictor, metrics, admission

    async def Predict(self, request: Any, context: grpc.aio.ServicerContext) -> bytes:
        """One or more queries; gRPC cancels it when the client's deadline passes or the client goes away."""
        started, status = time.monotonic(), "CANCELLED"
        try:
            with self._admission:
                remaining = context.time_remaining()
                if remaining is not None and remaining <= 0:
                    raise too_late("the deadline passed before the request was begun")
                answer = await self._predictor.predict(request, remaining)
            status = "OK"
            return answer
        except Exception as error:
            refused = logged(error)
            status = refused.code.name
            await context.abort(refused.code, refused.message[:_LONGEST])
            raise AssertionError("abort raises") from None
        finally:
            name = self._predictor.label(request.model_spec.name)
            self._metrics.requests(name, status).inc()
            if status == "OK":
                self._metrics.request_latency(name, "Predict", "GRPC").observe((time.monotonic() - started) * 1e6)

    def GetModelMetadata(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The signatures."""
        try:
            return self._predictor.metadata(request)
        except Exception as error:
            refuse(context, logged(error))

    def Classify(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Not of this model."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _NO_EXAMPLES.format("Classify", "classify"))

    def Regress(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Not of this model."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _NO_EXAMPLES.format("Regress", "regress"))

    def MultiInference(self, request: Any, context: grpc.ServicerContext) -> Any:
        """Not of this model."""
        context.abort(grpc.StatusCode.UNIMPLEMENTED, _NO_EXAMPLES.format("MultiInference", "classify or regress"))


class ModelService:
    """Status and reconfiguration."""

    def __init__(self, manager: Manager) -> None:
        self._manager = manager
        self._reloads = ThreadPoolExecutor(1, thread_name_prefix="reload")  # they wait for loads; status must not
        self._waiting = Admission(_MOST_RELOADS)

    def GetModelStatus(self, request: Any, context: grpc.ServicerContext) -> Any:
        """The state of a model's versions."""
        try:
            return status_response(self._manager, request)
        except Exception as error:
            refuse(context, logged(error))

    async def HandleReloadConfigRequest(self, request: Any, context: grpc.aio.ServicerContext) -> bytes:
        """Serves the request's models and no others; one reload at a time."""
        try:
            with self._waiting:
                await asyncio.get_running_loop().run_in_executor(self._reloads, self._reload, request)
        except Exception as error:
            refused = logged(error)
            await context.abort(refused.code, refused.message[:_LONGEST])
        return model_management_pb2.ReloadConfigResponse().SerializeToString()

    def _reload(self, request: Any) -> None:
        try:
            models = models_of(request.config)
        except UserError as error:
            raise invalid(str(error)) from None
        self._manager.reload(models)


def status_response(manager: Manager, request: Any) -> get_model_status_pb2.GetModelStatusResponse:
    """What GetModelStatus answers."""
    if not request.HasField("model_spec"):
        raise invalid("Missing ModelSpec")
    response = get_model_status_pb2.GetModelStatusResponse()
    for number, state, error in manager.status(request.model_spec):
        one = response.model_version_status.add(version=number, state=state)
        one.status.error_code = error.code.value[0] if error else 0
        one.status.error_message = error.message if error else ""
    return response


def refuse(context: grpc.ServicerContext, error: ServingError) -> NoReturn:
    """Ends a call with a status."""
    context.abort(error.code, error.message[:_LONGEST])
    raise AssertionError("abort raises")


def logged(error: Exception) -> ServingError:
    """The status of an exception; what nobody foresaw is also written to the log, whole."""
    refused = of_exception(error)
    if refused.code is code_of(13) and not isinstance(error, ServingError):
        _LOG.error("a request failed", exc_info=error)
    return refused
