"""Hangs services into a gRPC server, with requests that are no messages answered by us.

grpcio's own path for a request that its deserialiser refuses keeps some 16 KB for ever (1.85), so that any client could
fill the server's memory; a handler's own refusal keeps nothing.
"""

from __future__ import annotations

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


def add_service(server: grpc.Server, name: str, servicer: Any) -> None:
    """Adds every method of a service that protobuf's default pool describes."""
    methods = descriptor_pool.Default().FindServiceByName(name).methods
    handlers = {
        method.name: grpc.unary_unary_rpc_method_handler(
            _checked(getattr(servicer, method.name), name),
            request_deserializer=_reader(GetMessageClass(method.input_type)),
            response_serializer=GetMessageClass(method.output_type).SerializeToString,
        )
        for method in methods
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))


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
            context.abort(grpc.StatusCode.INTERNAL, f"the request is no message of {service}: {request.reason}")
        return method(request, context)

    return handle
