"""What goes wrong while serving, as a status that every protocol can carry."""

from __future__ import annotations

import grpc

_BY_NUMBER = {code.value[0]: code for code in grpc.StatusCode}
_HTTP = {
    grpc.StatusCode.CANCELLED: 499,
    grpc.StatusCode.INVALID_ARGUMENT: 400,
    grpc.StatusCode.DEADLINE_EXCEEDED: 504,
    grpc.StatusCode.NOT_FOUND: 404,
    grpc.StatusCode.ALREADY_EXISTS: 409,
    grpc.StatusCode.PERMISSION_DENIED: 403,
    grpc.StatusCode.RESOURCE_EXHAUSTED: 429,
    grpc.StatusCode.FAILED_PRECONDITION: 400,
    grpc.StatusCode.ABORTED: 409,
    grpc.StatusCode.OUT_OF_RANGE: 400,
    grpc.StatusCode.UNIMPLEMENTED: 501,
    grpc.StatusCode.UNAVAILABLE: 503,
    grpc.StatusCode.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A refused request: its code and message are what the client sees."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http(self) -> int:
        """The status of an answer over REST."""
        return _HTTP.get(self.code, 500)


def invalid(message: str) -> ServingError:
    """The client's request cannot be answered as it stands."""
    return ServingError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> ServingError:
    """No such model or version."""
    return ServingError(grpc.StatusCode.NOT_FOUND, message)


def exhausted(message: str) -> ServingError:
    """More than this server takes at a time."""
    return ServingError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def unavailable(message: str) -> ServingError:
    """Not now."""
    return ServingError(grpc.StatusCode.UNAVAILABLE, message)


def too_late(message: str) -> ServingError:
    """The request's deadline passed before it was run."""
    return ServingError(grpc.StatusCode.DEADLINE_EXCEEDED, message)


def code_of(number: int) -> grpc.StatusCode:
    """A canonical code's number, as TensorFlow and protobuf use it -> gRPC's."""
    return _BY_NUMBER.get(number, grpc.StatusCode.UNKNOWN)


def of_exception(error: Exception) -> ServingError:
    """Any exception as a status; TensorFlow's keep their code and lose their Python traces."""
    if isinstance(error, ServingError):
        return error
    number, message = getattr(error, "error_code", None), getattr(error, "message", None)
    if isinstance(number, int) and isinstance(message, str):
        return ServingError(code_of(number), message.split("\n\nOriginal stack trace")[0].strip())
    return ServingError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")
