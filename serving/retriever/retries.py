"""One shard: the servers that hold the same items, called with balancing, retries, hedging and circuit breakers."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import grpc

from serving.retriever import messages
from serving.retriever.breaker import Breaker, BreakerPolicy

_PREDICT = "/tensorflow.serving.PredictionService/Predict"
_METADATA = "/tensorflow.serving.PredictionService/GetModelMetadata"
_CHANNEL = (
    ("grpc.max_receive_message_length", -1),
    ("grpc.lb_policy_name", "round_robin"),  # over the addresses of one name
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.enable_retries", 0),  # the policy below retries, and says so in its errors
)
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


@dataclass(frozen=True)
class CallPolicy:
    """How hard a call tries."""

    attempts: int = 3
    backoff: float = 0.02  # seconds before the first retry, doubled each time, jittered
    longest_backoff: float = 0.5
    hedge_after: float | None = None  # seconds until a second server is asked as well; None never asks one
    breaker: BreakerPolicy = field(default_factory=BreakerPolicy)


class Endpoint:
    """One server."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None, policy: BreakerPolicy) -> None:
        self.target = target
        self.breaker = Breaker(policy)
        self.in_flight = 0
        if credentials is None:
            self._channel = grpc.aio.insecure_channel(target, options=_CHANNEL)
        else:
            self._channel = grpc.aio.secure_channel(target, credentials, options=_CHANNEL)
        self._methods = {path: self._channel.unary_unary(path) for path in (_PREDICT, _METADATA)}

    async def call(self, path: str, request: bytes, timeout: float) -> bytes:
        """One attempt."""
        self.breaker.begin()
        self.in_flight += 1
        try:
            answer = await self._methods[path](request, timeout=timeout)
        except grpc.aio.AioRpcError as error:
            if error.code() in UNWELL:
                self.breaker.failed()
            else:
                self.breaker.succeeded()
            raise RetrievalError(error.code(), error.details() or "", self.target) from None
        except asyncio.CancelledError:
            self.breaker.abandoned()
            raise
        finally:
            self.in_flight -= 1
        self.breaker.succeeded()
        return answer

    async def close(self) -> None:
        """Ends the connection."""
        await self._channel.close()


@dataclass(frozen=True)
class Model:
    """Which model of a server's is asked: of a version, or of what one is called; the newest without them."""

    name: str
    version: int | None = None
    label: str | None = None


class Shard:
    """The endpoints of one part of the catalogue, and the model that holds it there."""

    def __init__(
        self,
        targets: Sequence[str],
        model: Model,
        credentials: grpc.ChannelCredentials | None = None,
        policy: CallPolicy | None = None,
        name: str | None = None,
    ) -> None:
        self.model = model
        self._policy = policy or CallPolicy()
        self.endpoints = [Endpoint(target, credentials, self._policy.breaker) for target in targets]
        self.name = name or ",".join(targets)
        self.shapes: dict[str, dict[str, tuple[int, ...] | None]] | None = None  # of the model's signatures

    @property
    def is_open(self) -> bool:
        """Whether every server's circuit is open."""
        return all(endpoint.breaker.is_open for endpoint in self.endpoints)

    async def predict(self, request: bytes, timeout: float) -> bytes:
        """A PredictResponse within `timeout` seconds, retries included."""
        return await self._call(_PREDICT, request, timeout)

    async def metadata(self, request: bytes, timeout: float) -> bytes:
        """A GetModelMetadataResponse."""
        return await self._call(_METADATA, request, timeout)

    async def has_version(self, timeout: float) -> bool:
        """Whether every server that answers serves the model's version, and one does."""
        request = messages.metadata_request(messages.model_spec(self.model.name, "", self.model.version))
        calls = (endpoint.call(_METADATA, request, timeout) for endpoint in self.endpoints)
        answers = await asyncio.gather(*calls, return_exceptions=True)
        errors = [one for one in answers if isinstance(one, BaseException)]
        gone = all(isinstance(one, RetrievalError) and one.code in UNWELL for one in errors)
        return gone and len(errors) < len(answers)

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.gather(*(endpoint.close() for endpoint in self.endpoints))

    async def _call(self, path: str, request: bytes, timeout: float) -> bytes:
        end = time.monotonic() + timeout
        backoff = self._policy.backoff
        last: Endpoint | None = None
        for attempt in range(1, self._policy.attempts + 1):
            last = self._choose(last)
            try:
                return await self._hedged(last, path, request, end - time.monotonic())
            except RetrievalError as error:
                pause = backoff * random.uniform(0.5, 1.5)
                if error.code not in RETRYABLE or attempt == self._policy.attempts or time.monotonic() + pause >= end:
                    raise
            await asyncio.sleep(pause)
            backoff = min(self._policy.longest_backoff, backoff * 2)
        raise AssertionError("the last attempt returns or raises")

    def _choose(self, tried: Endpoint | None) -> Endpoint:
        """The less busy of two; the one that has just failed only when no other is well."""
        well = [one for one in self.endpoints if not one.breaker.is_open]
        if not well:
            raise RetrievalError(grpc.StatusCode.UNAVAILABLE, "the circuit of every server is open", self.name)
        others = [one for one in well if one is not tried] or well
        pair = random.sample(others, min(2, len(others)))
        return min(pair, key=lambda endpoint: endpoint.in_flight)

    async def _hedged(self, first: Endpoint, path: str, request: bytes, timeout: float) -> bytes:
        after = self._policy.hedge_after
        second = next((one for one in self.endpoints if one is not first and not one.breaker.is_open), None)
        if after is None or second is None or after >= timeout:
            return await first.call(path, request, timeout)
        calls = {asyncio.create_task(first.call(path, request, timeout))}
        done, _ = await asyncio.wait(calls, timeout=after)
        if not done:
            calls.add(asyncio.create_task(second.call(path, request, timeout - after)))
        return await _first_answer(calls)


async def _first_answer(calls: set[asyncio.Task[bytes]]) -> bytes:
    """The first of the calls that succeeds; the others are cancelled. The last failure where none does."""
    try:
        pending: set[asyncio.Task[bytes]] = set(calls)
        while True:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for call in done:
                if call.exception() is None or not pending:
                    return call.result()
    finally:
        for call in calls:
            if not call.done():
                call.cancel()
            elif not call.cancelled():
                call.exception()  # looked at: asyncio would complain of it otherwise
