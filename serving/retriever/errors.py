"""What a caller of the client may have to handle."""

from __future__ import annotations

import grpc

# The request was not begun, or can be begun again elsewhere at once. CANCELLED, where the caller did not cancel,
# is what gRPC's core says for a server that sheds calls before it has looked at them.
RETRYABLE = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.RESOURCE_EXHAUSTED,
        grpc.StatusCode.ABORTED,
        grpc.StatusCode.CANCELLED,
    }
)
# The other side is not well: what a circuit breaker counts.
UNWELL = frozenset(
    {
        grpc.StatusCode.UNAVAILABLE,
        grpc.StatusCode.DEADLINE_EXCEEDED,
        grpc.StatusCode.INTERNAL,
        grpc.StatusCode.UNKNOWN,
    }
)


class RetrievalError(Exception):
    """No answer: the gRPC code, the server's words and who said them."""

    def __init__(self, code: grpc.StatusCode, message: str, target: str) -> None:
        super().__init__(f"{code.name} from {target}: {message}")
        self.code, self.message, self.target = code, message, target
