"""Beam's external Python worker pool for several TaskManagers on one machine: `python worker_pool.py PORT`.

Beam's own entry point listens on every interface, which a test must not, and supposes one pool a TaskManager.
"""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from subprocess import Popen

import grpc
from apache_beam.portability.api import beam_fn_api_pb2, beam_fn_api_pb2_grpc
from apache_beam.runners.worker.worker_pool_main import BeamFnExternalWorkerPoolServicer


class SharedWorkerPool(BeamFnExternalWorkerPoolServicer):
    """A pool that leaves it to a worker to end: it does so when its TaskManager hangs up.

    Every TaskManager numbers its workers from 1-1, so that in a shared pool "stop 1-1" would also hit the others'.
    """

    def __init__(self) -> None:
        super().__init__(use_process=True)
        self._lock = threading.Lock()

    def StartWorker(
        self, request: beam_fn_api_pb2.StartWorkerRequest, context: grpc.ServicerContext
    ) -> beam_fn_api_pb2.StartWorkerResponse:
        with self._lock:
            response = super().StartWorker(request, context)
            worker = self._worker_processes.pop(request.worker_id, None)
        if worker is not None:
            threading.Thread(target=_follow, args=(worker,), daemon=True).start()
        return response


def _follow(worker: Popen[bytes]) -> None:
    # A worker whose standard output nobody reads would stop once the pipe is full.
    for line in worker.stdout or ():
        print(line.decode(errors="replace"), end="", flush=True)
    worker.wait()


def serve(port: int) -> None:
    """Starts a Python process for every worker that a TaskManager asks for, until killed."""
    server = grpc.server(ThreadPoolExecutor())
    beam_fn_api_pb2_grpc.add_BeamFnExternalWorkerPoolServicer_to_server(SharedWorkerPool(), server)
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    serve(int(sys.argv[1]))
