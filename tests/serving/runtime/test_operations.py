"""Health, reflection, limits, deadlines, TLS and an orderly end."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
import trustme
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from serving.client import RetrievalError, Retriever
from serving.runtime.batching import BatchingLimits
from serving.runtime.config_files import read_credentials
from serving.runtime.grpc_server import ModelServer
from serving.runtime.lanes import Lane, Task
from serving.runtime.predictor import RequestLimits
from serving.runtime.rest import RestServer, RestSettings
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, request_of
from tests.serving.runtime.test_batching import until

Serve = Callable[..., ModelServer]
SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


@contextmanager
def connected(server: ModelServer) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        yield channel


def health_of(channel: grpc.Channel, service: str = "") -> int:
    request = health_pb2.HealthCheckRequest(service=service)
    return health_pb2_grpc.HealthStub(channel).Check(request, timeout=TIMEOUT).status


@contextmanager
def held(server: ModelServer) -> Iterator[Callable[[], None]]:
    """Takes the only slot for batches of a server until the yielded function is called."""
    gate, entered = threading.Event(), threading.Event()

    def call(rows: np.ndarray) -> list[np.ndarray]:
        entered.set()
        assert gate.wait(TIMEOUT)
        return [rows]

    task = Task([np.zeros(1)], 1)
    holder = threading.Thread(target=server.batcher.run, args=(Lane("held", call, False), task))
    holder.start()
    assert entered.wait(TIMEOUT)
    try:
        yield gate.set
    finally:
        gate.set()
        holder.join()


def waiting(server: ModelServer) -> int:
    version = server.manager._models["retrieval"].versions[1]
    return (
        version.servable.lane(version.servable.signatures["serving_default"], bulk=False).rows
        if version.servable
        else 0
    )


def batches(server: ModelServer) -> float | None:
    name = ":tensorflow:serving:batching_session:processed_batch_size_count"
    return server.metrics.registry.get_sample_value(name, {"batch": "retrieval:serving_default"})


ONE_SLOT = BatchingLimits(num_batch_threads=1)


def test_health_by_service_and_by_model(server: ModelServer) -> None:
    with connected(server) as channel:
        for service in ("", "tensorflow.serving.PredictionService", "retrieval"):
            assert health_of(channel, service) == SERVING
        with pytest.raises(grpc.RpcError) as caught:
            health_of(channel, "other")
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_reflection_describes_both_services(server: ModelServer) -> None:
    with connected(server) as channel:
        database = ProtoReflectionDescriptorDatabase(channel)
        assert {"tensorflow.serving.PredictionService", "grpc.health.v1.Health"} <= set(database.get_services())
        pool = DescriptorPool(database)
        predict = pool.FindServiceByName("tensorflow.serving.PredictionService").FindMethodByName("Predict")
        assert predict.input_type.full_name == "tensorflow.serving.PredictRequest"
        assert "inputs" in predict.input_type.fields_by_name
        assert pool.FindServiceByName("tensorflow.serving.ModelService").FindMethodByName("GetModelStatus")


def test_one_request_too_many_is_refused_at_once_and_health_still_answers(models: Path, serve: Serve) -> None:
    server = serve(models, limits=RequestLimits(max_concurrency=1))
    with connected(server) as channel:
        with server.admission:
            with pytest.raises(grpc.RpcError) as caught:
                Stubs(channel).predict(query=["a"])
            assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert health_of(channel) == SERVING
        assert Stubs(channel).predict(query=["a"])["scores"].shape[0] == 1


def test_what_waits_before_python_is_bounded(models: Path, serve: Serve) -> None:
    server, gate = serve(models, limits=RequestLimits(max_concurrency=1)), threading.Event()
    with connected(server) as channel:
        Stubs(channel).predict(query=["a"])
        server._loop.call_soon_threadsafe(gate.wait, TIMEOUT)
        calls = [Stubs(channel).prediction.Predict.future(request_of(query=["a"]), timeout=TIMEOUT) for _ in range(100)]
        until(lambda: sum(one.done() for one in calls) >= 70)  # 17 may wait, some are on their way in
        assert {one.code() for one in calls if one.done()} == {grpc.StatusCode.CANCELLED}
        gate.set()
        codes = {one.code() for one in calls}
    assert codes <= {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED, grpc.StatusCode.CANCELLED}
    assert grpc.StatusCode.OK in codes


def test_a_deadline_that_passes_in_the_queue_is_not_run(models: Path, serve: Serve) -> None:
    server = serve(models, batching=ONE_SLOT)
    request = request_of(query=["late"])
    with connected(server) as channel, held(server) as release:
        with pytest.raises(grpc.RpcError) as caught:
            Stubs(channel).prediction.Predict(request, timeout=0.3)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: server.admission.inside == 0)
        release()
    assert batches(server) == 1  # the warm-up


def test_a_client_that_goes_away_is_not_run(models: Path, serve: Serve) -> None:
    server = serve(models, batching=ONE_SLOT)
    with connected(server) as channel, held(server) as release:
        call = Stubs(channel).prediction.Predict.future(request_of(query=["gone"]), timeout=TIMEOUT)
        until(lambda: waiting(server) == 1)
        call.cancel()
        until(lambda: health_of(channel) == SERVING)  # a round trip behind the cancellation
        release()
        until(lambda: server.admission.inside == 0)
    assert batches(server) == 1


def test_the_end_waits_for_what_has_begun(models: Path, serve: Serve) -> None:
    server = serve(models, batching=ONE_SLOT)
    with connected(server) as channel, ThreadPoolExecutor() as pool, held(server) as release:
        begun = [Stubs(channel).prediction.Predict.future(request_of(query=["a"]), timeout=TIMEOUT) for _ in range(5)]
        until(lambda: waiting(server) == 5)
        stopped = pool.submit(server.stop, 10 * TIMEOUT)
        with grpc.insecure_channel(f"127.0.0.1:{server.port}") as late:

            def refused() -> bool:
                try:
                    Stubs(late).prediction.Predict(request_of(query=["late"]), timeout=1)  # it may still be let in
                except grpc.RpcError as error:
                    return error.code() is grpc.StatusCode.UNAVAILABLE
                return False

            until(refused)
        assert not stopped.done()
        release()
        assert all(len(one.result().outputs) == 2 for one in begun)
        stopped.result()


def check_probes(server: ModelServer) -> None:
    """The manifests' probes ask the port that has no TLS; who ends, or has no such model, is not ready."""
    rest = RestServer(server, RestSettings())
    rest.start()
    try:
        http = Http(rest.port)
        for path in ("/healthz", "/healthz/retrieval"):
            assert http.get(path) == (200, {"status": "SERVING"})
        assert http.get("/healthz/other") == (503, {"status": "NOT_SERVING"})
        server._ends = True
        assert http.get("/healthz/retrieval")[0] == http.get("/healthz")[0] == 503
    finally:
        server._ends = False
        rest.stop()


def test_tls_and_mutual_tls(models: Path, serve: Serve, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    server_cert, client_cert = authority.issue_cert("localhost"), authority.issue_cert("client")
    config = tmp_path / "ssl.config"
    for verify in (False, True):
        fields: dict[str, Any] = {
            "server_key": server_cert.private_key_pem.bytes().decode(),
            "server_cert": server_cert.cert_chain_pems[0].bytes().decode(),
            "custom_ca": authority.cert_pem.bytes().decode(),
        }
        text = "".join(f"{name}: {value!r}\n" for name, value in fields.items())
        config.write_text(text + f"client_verify: {str(verify).lower()}\n")
        server = serve(models, credentials=read_credentials(str(config)))
        check_probes(server)
        target, ca = f"localhost:{server.port}", authority.cert_pem.bytes()
        mutual = grpc.ssl_channel_credentials(
            ca, client_cert.private_key_pem.bytes(), client_cert.cert_chain_pems[0].bytes()
        )
        with Retriever(target, credentials=mutual, timeout=TIMEOUT) as retriever:
            assert len(retriever.retrieve("red", k=3).hits) == 3
        wrong = [None, grpc.ssl_channel_credentials(stranger.cert_pem.bytes())]
        for one in [*wrong, *([grpc.ssl_channel_credentials(ca)] if verify else [])]:
            with Retriever(target, credentials=one, timeout=3) as retriever, pytest.raises(RetrievalError) as caught:
                retriever.retrieve("red")
            assert caught.value.code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
