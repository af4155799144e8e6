"""TensorFlow Serving's REST surface and the metrics, on a port of their own."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import grpc
import orjson
from aiohttp import web
from google.protobuf import json_format
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_pb2

from serving.runtime.grpc_server import ModelServer
from serving.runtime.predictor import signature_of
from serving.runtime.prometheus import CONTENT_TYPE
from serving.runtime.rest_json import from_arrays, read_body, to_arrays
from serving.runtime.services import logged, status_response
from serving.runtime.status import ServingError, invalid, too_late

_MODEL = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_MODEL + r":(?P<method>predict|classify|regress)", re.IGNORECASE)
_METADATA = re.compile(_MODEL + "/metadata", re.IGNORECASE)
_STATUS = re.compile(_MODEL, re.IGNORECASE)
_THREADS = 32


@dataclass(frozen=True)
class RestSettings:
    """How the port is served."""

    host: str = "127.0.0.1"
    port: int = 0
    timeout: float = 30.0
    max_body_bytes: int = 16 << 20
    metrics_path: str | None = None


class RestServer:
    """An HTTP server in a thread of its own."""

    def __init__(self, server: ModelServer, settings: RestSettings, routes: Sequence[web.RouteDef] = ()) -> None:
        self._server, self._settings, self._routes = server, settings, routes
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rest", daemon=True)
        self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="rest")
        self._runner: web.AppRunner | None = None
        self.port = 0

    def start(self) -> None:
        """Opens the port; `OSError` where it is taken."""
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()

    def stop(self) -> None:
        """Answers what has begun, then closes."""
        if self._runner is not None:
            asyncio.run_coroutine_threadsafe(self._runner.cleanup(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._pool.shutdown()

    async def _start(self) -> None:
        app = web.Application(client_max_size=self._settings.max_body_bytes, middlewares=[_errors_as_json])
        if self._settings.metrics_path:
            app.router.add_get(self._settings.metrics_path, self._metrics)
        app.router.add_route("*", "/v1/{tail:.*}", self._answer)
        app.router.add_routes(self._routes)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=self._settings.timeout)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self._settings.host, self._settings.port)
        await site.start()
        self.port = self._runner.addresses[0][1]

    async def _metrics(self, request: web.Request) -> web.Response:
        return web.Response(body=self._server.metrics.text(), headers={"Content-Type": CONTENT_TYPE})

    async def _answer(self, request: web.Request) -> web.Response:
        path, is_get = request.path, request.method == "GET"
        if request.method == "POST" and (found := _CALL.fullmatch(path)):
            return await self._predict(found, await request.read())
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

    async def _predict(self, found: re.Match[str], body: bytes) -> web.Response:
        metrics, name = self._server.metrics, self._server.predictor.label(found["name"])
        started, status = time.monotonic(), "OK"
        try:
            if found["method"].lower() != "predict":
                raise ServingError(
                    grpc.StatusCode.UNIMPLEMENTED,
                    f"{found['method']} takes tf.Examples, which this model has no signature for: call :predict",
                )
            with self._server.admission:
                work = self._loop.run_in_executor(self._pool, self._predict_now, _spec(found), body, started)
                return web.Response(body=await work, content_type="application/json")
        except Exception as error:
            refused = logged(error)
            status = refused.code.name
            raise refused from None
        finally:
            metrics.requests(name, status).inc()
            metrics.request_latency(name, "Predict", "REST").observe((time.monotonic() - started) * 1e6)

    def _predict_now(self, spec: Any, data: bytes, started: float) -> bytes:
        remaining = self._settings.timeout - (time.monotonic() - started)
        if remaining <= 0:
            raise too_late("the time for the request passed before it was begun")
        body = read_body(data)
        predictor = self._server.predictor
        with predictor.use(spec) as servable:
            signature = signature_of(servable, body.signature_name)
            outputs = predictor.run(servable, signature, to_arrays(body, signature), remaining)
        return from_arrays(outputs, body.by_row)


@web.middleware
async def _errors_as_json(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    try:
        return await handler(request)
    except web.HTTPException as error:
        return _json({"error": error.reason}, error.status)
    except Exception as error:
        refused = logged(error)
        return _json({"error": refused.message}, refused.http)


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
