"""Hangs services into a gRPC server, with requests that are no messages answered by us.

grpcio's own path for a request that its deserialiser refuses keeps some 16 KB for ever (1.85), so that any client could
fill the server's memory; a handler's own refusal keeps nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import grpc
from google.protobuf import descriptor_pool
from google.protobuf.message import DecodeError
from google.protobuf.message_factory import GetMessageClass


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
