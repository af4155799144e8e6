"""TensorFlow Serving's REST surface and the metrics, on a port of their own."""

from __future__ import annotations

import asyncio
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import grpc
import numpy as np
import orjson
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.runtime.grpc_server import ModelServer
from serving.runtime.json_slices import SLICE
from serving.runtime.memory import uncollected
from serving.runtime.ports import reserve
from serving.runtime.predictor import Admission, signature_of
from serving.runtime.prometheus import CONTENT_TYPE
from serving.runtime.rest_json import from_arrays, read_body, to_arrays
from serving.runtime.rest_limits import Budget, Connections, check_values
from serving.runtime.servable import Servable, Signature
from serving.runtime.services import logged, status_response
from serving.runtime.status import ServingError, invalid, of_exception, too_late

T = TypeVar("T")
_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_MODEL + r":(?P<method>predict|classify|regress)", re.IGNORECASE)
_METADATA = re.compile(_MODEL + "/metadata", re.IGNORECASE)
_STATUS = re.compile(_MODEL, re.IGNORECASE)
_CORS = {
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "POST, GET",
    "Access-Control-Allow-Headers": "Content-Type",
}
_CALLS_A_THREAD = 8  # that are read, wait or are answered at a time
_BYTES_A_VALUE = 12  # of an answer, about
_LARGE_BODIES = 2  # of the largest size, in memory at a time


@dataclass(frozen=True)
class RestSettings:
    """How the port is served."""

    host: str = "127.0.0.1"
    port: int = 0
    timeout: float = 30.0
    max_body_bytes: int = 16 << 20
    metrics_path: str | None = None
    threads: int = 8  # that read and write JSON
    max_connections: int = 512
    drain_seconds: float = 30.0
    cors: bool = False  # whether pages of other sites may call


class RestServer:
    """An HTTP server in a thread of its own."""

    def __init__(self, server: ModelServer, settings: RestSettings, routes: Sequence[web.RouteDef] = ()) -> None:
        self._server, self._settings, self._routes = server, settings, routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="rest")
        # Large bodies one at a time: with each more thread at work gRPC would wait longer for the interpreter.
        self._large_pool = ThreadPoolExecutor(1, thread_name_prefix="rest-large")
        self._calls = Admission(_CALLS_A_THREAD * settings.threads)
        self._bodies = Budget(_LARGE_BODIES * settings.max_body_bytes)
        self._runner: web.AppRunner | None = None
        self._connections: Connections | None = None
        self._reserved: socket.socket | None = None
        self._port: asyncio.Server | None = None
        self._sweeping: asyncio.Task[None] | None = None
        self.port = 0

    def bind(self) -> None:
        """Reserves the port; `OSError` where it is taken."""
        self._reserved = reserve(self._settings.host, self._settings.port)
        self.port = self._reserved.getsockname()[1]

    def start(self) -> None:
        """Opens the port; it is reserved first, where it is not yet."""
        if self._reserved is None:
            self.bind()
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Takes no more, answers what has begun, then closes."""
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.shutdown()
        self._large_pool.shutdown()

    async def _stop(self) -> None:
        if self._port is not None:
            self._port.close()
        if self._sweeping is not None:
            self._sweeping.cancel()
        if self._runner is not None:
            await self._runner.cleanup()

    async def _start(self) -> None:
        app = web.Application(client_max_size=self._settings.max_body_bytes, middlewares=[self._answered])
        if self._settings.cors:
            app.on_response_prepare.append(_allow_all_sites)
        if self._settings.metrics_path:
            app.router.add_get(self._settings.metrics_path, self._metrics)
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/healthz/{model}", self._health)
        app.router.add_route("*", "/v1/{tail:.*}", self._answer)
        app.router.add_routes(self._routes)
        # aiohttp waits so long for handlers, then as long again for those it has cancelled.
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=self._settings.drain_seconds / 2)
        await self._runner.setup()
        assert self._runner.server is not None
        self._connections = Connections(self._runner.server, self._settings.max_connections)
        assert self._reserved is not None
        self._port = await self._loop.create_server(self._connections, sock=self._reserved)
        self._sweeping = self._loop.create_task(self._connections.sweep())

    @web.middleware
    async def _answered(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Any answer within the time for one, errors as JSON."""
        assert self._connections is not None
        with self._connections.answering(request.transport):
            try:
                async with asyncio.timeout(self._settings.timeout):
                    return await handler(request)
            except web.HTTPException as error:
                return _json({"error": error.reason}, error.status)
            except TimeoutError:
                return _refused(too_late("the time for the request passed"), close=True)
            except web.RequestPayloadError as error:
                return _refused(invalid(f"the body cannot be read: {error}"), close=True)
            except Exception as error:
                return _refused(logged(error))

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._server.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _health(self, request: web.Request) -> web.Response:
        """As gRPC's health service, for probes that speak no TLS."""
        well = self._server.is_well(request.match_info.get("model", ""))
        return _json({"status": "SERVING" if well else "NOT_SERVING"}, 200 if well else 503)

    async def _answer(self, request: web.Request) -> web.Response:
        path, is_get = request.path, request.method == "GET"
        if self._settings.cors and request.method == "OPTIONS":
            return web.Response()
        if request.method == "POST" and (found := _CALL.fullmatch(path)):
            return await self._predict(found, request)
        if is_get and (found := _METADATA.fullmatch(path)):
            return _json(self._metadata(_spec(found)))
        if is_get and (found := _STATUS.fullmatch(path)):
            request_ = get_model_status_pb2.GetModelStatusRequest(model_spec=_spec(found))
            return _json(_as_dict(status_response(self._server.manager, request_)))
        raise invalid(f"Malformed request: {request.method} {path}")

    def _metadata(self, spec: Any) -> Any:
        request = get_model_metadata_pb2.GetModelMetadataRequest(model_spec=spec, metadata_field=["signature_def"])
        response = self._server.predictor.metadata(request)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        response.metadata["signature_def"].Unpack(signatures)
        return {
            "model_spec": _as_dict(response.model_spec),
            "metadata": {"signature_def": _as_dict(signatures)},
        }

    async def _predict(self, found: re.Match[str], request: web.Request) -> web.Response:
        metrics, name = self._server.metrics, self._server.predictor.label(found["name"])
        started, status = time.monotonic(), "OK"
        try:
            if found["method"].lower() != "predict":
                raise ServingError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"{found['method']} takes tf.Examples, which this model has no signature for: call :predict",
                )
            size = self._settings.max_body_bytes if request.content_length is None else request.content_length
            if size > self._settings.max_body_bytes:
                raise web.HTTPRequestEntityTooLarge(self._settings.max_body_bytes, size)
            with self._calls, self._bodies.reserved(size):
                body = await request.read()
                with self._server.admission:
                    answer = await self._answer_to(_spec(found), body, started)
                    return web.Response(body=answer, content_type="application/json")
        except Exception as error:
            status = _code_of(error)
            raise
        finally:
            metrics.requests(name, status).inc()
            if status == "OK":
                metrics.request_latency(name, "Predict", "REST").observe((time.monotonic() - started) * 1e6)

    async def _answer_to(self, spec: Any, data: bytes, started: float) -> bytes:
        predictor = self._server.predictor
        with predictor.use(spec) as servable:
            signature, arrays, by_row = await self._run(len(data), self._arrays, servable, data)
            remaining = self._settings.timeout - (time.monotonic() - started)
            if remaining <= 0:
                raise too_late("the time for the request passed before it was begun")
            outputs = await predictor.answer(servable, signature, arrays, remaining)
            size = sum(array.size for array in outputs.values())
            return await self._run(size * _BYTES_A_VALUE, from_arrays, outputs, by_row)

    def _run(self, size: int, work: Callable[..., T], *arguments: Any) -> asyncio.Future[T]:
        """In a thread for JSON of about so many bytes."""
        if size <= SLICE:
            return self._loop.run_in_executor(self._pool, work, *arguments)
        return self._loop.run_in_executor(self._large_pool, _with_large, work, *arguments)

    def _arrays(self, servable: Servable, data: bytes) -> tuple[Signature, list[np.ndarray], bool]:
        check_values(data, self._server.predictor.max_rows, servable.values_a_row)
        body = read_body(data)
        signature = signature_of(servable, body.signature_name)
        return signature, to_arrays(body, signature), body.by_row


def _with_large(work: Callable[..., T], *arguments: Any) -> T:
    with uncollected():
        return work(*arguments)


async def _allow_all_sites(request: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_CORS)


def _code_of(error: Exception) -> str:
    if isinstance(error, web.HTTPException | web.RequestPayloadError):
        return grpc.StatusCode.INVALID_ARGUMENT.name
    return of_exception(error).code.name


def _refused(error: ServingError, close: bool = False) -> web.Response:
    """An error's answer; a request that was not read to its end ends its connection."""
    response = _json({"error": error.message}, error.http)
    if close:
        response.force_close()
    return response


def _json(content: Any, status: int = 200) -> web.Response:
    return web.Response(body=orjson.dumps(content), status=status, content_type="application/json")


def _spec(found: re.Match[str]) -> Any:
    spec = model_pb2.ModelSpec(name=found["name"])
    if found["version"]:
        if int(found["version"]) >= 1 << 63:
            raise invalid(f"Failed to convert version: {found['version']} to numeric.")
        spec.version.value = int(found["version"])
    if found["label"]:
        spec.version_label = found["label"]
    return spec


def _as_dict(message: Any) -> Any:
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
