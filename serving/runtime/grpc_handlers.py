"""TensorFlow Serving's services in a gRPC server: described for reflection, and their requests checked.

Described here, because the wheel's own `*_service_pb2` modules break on today's protobuf. Read here, because grpcio's
own path for a request that its deserialiser refuses keeps some 16 KB for ever (1.85), so that any client could fill the
server's memory; a handler's own refusal keeps nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass
from tensorflow_serving.apis import (  # noqa: F401 (their messages are registered by the import)
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

_PACKAGE = "tensorflow.serving"
PREDICTION_SERVICE = f"{_PACKAGE}.PredictionService"
MODEL_SERVICE = f"{_PACKAGE}.ModelService"

# Service -> its file, and each method with what the names of its messages begin with and the file they are in.
_SERVICES = {
    "PredictionService": (
        "prediction_service",
        {
            "Classify": ("Classification", "classification"),
            "Regress": ("Regression", "regression"),
            "Predict": ("Predict", "predict"),
            "MultiInference": ("MultiInference", "inference"),
            "GetModelMetadata": ("GetModelMetadata", "get_model_metadata"),
        },
    ),
    "ModelService": (
        "model_service",
        {
            "GetModelStatus": ("GetModelStatus", "get_model_status"),
            "HandleReloadConfigRequest": ("ReloadConfig", "model_management"),
        },
    ),
}


def register_services() -> None:
    """Adds both services to protobuf's default pool, where reflection looks."""
    for service, (file, methods) in _SERVICES.items():
        proto = descriptor_pb2.FileDescriptorProto(
            name=f"tensorflow_serving/apis/{file}.proto", package=_PACKAGE, syntax="proto3"
        )
        described = proto.service.add(name=service)
        for method, (messages, origin) in methods.items():
            proto.dependency.append(f"tensorflow_serving/apis/{origin}.proto")
            described.method.add(
                name=method,
                input_type=f".{_PACKAGE}.{messages}Request",
                output_type=f".{_PACKAGE}.{messages}Response",
            )
        descriptor_pool.Default().AddSerializedFile(proto.SerializeToString())


class _Unreadable:
    """Stands for a request that could not be parsed."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


def add_service(server: grpc.aio.Server, name: str, servicer: Any) -> None:
    """Adds every method of a service that protobuf's default pool describes.

    A coroutine runs in the server's loop and returns its answer's bytes; any other method runs in a thread and returns
    the message.
    """
    methods = descriptor_pool.Default().FindServiceByName(name).methods
    handlers = {method.name: _handler(getattr(servicer, method.name), method, name) for method in methods}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


def _handler(method: Callable[..., Any], described: Any, service: str) -> grpc.RpcMethodHandler:
    read = _reader(GetMessageClass(described.input_type))
    if inspect.iscoroutinefunction(method):
        return grpc.unary_unary_rpc_method_handler(_checked_in_loop(method, service), request_deserializer=read)
    write = GetMessageClass(described.output_type).SerializeToString
    return grpc.unary_unary_rpc_method_handler(_checked(method, service), read, write)


def _reader(message: Any) -> Callable[[bytes], Any]:
    def read(data: bytes) -> Any:
        try:
            return message.FromString(data)
        except DecodeError as error:
            return _Unreadable(str(error))

    return read


def _checked(method: Callable[[Any, grpc.ServicerContext], Any], service: str) -> Callable[..., Any]:
    def handle(request: Any, context: grpc.ServicerContext) -> Any:
        if isinstance(request, _Unreadable):
            context.abort(*_refusal(service, request))
        return method(request, context)

    return handle


def _checked_in_loop(method: Callable[..., Any], service: str) -> Callable[..., Any]:
    async def handle(request: Any, context: grpc.aio.ServicerContext) -> Any:
        if isinstance(request, _Unreadable):
            await context.abort(*_refusal(service, request))
        return await method(request, context)

    return handle


def _refusal(service: str, request: _Unreadable) -> tuple[grpc.StatusCode, str]:
    return grpc.StatusCode.INTERNAL, f"the request is no message of {service}: {request.reason}"
