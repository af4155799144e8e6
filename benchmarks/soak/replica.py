"""A server of the soak: a process that may be killed and comes back on its ports."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[2]
MODEL = "retrieval"
_TIMEOUT_S = 60


class Replica:
    """`python -m serving.server` over a model.

    Args:
        name: its own.
        model: the model's.
        flags: that say where the model lies.
        log: where it says what it says.
        request: a valid one.
        held: versions that it has in memory while none comes or goes.
        killable: whether it may be killed; the memory of the others is judged.
    """

    def __init__(
        self, name: str, model: str, flags: Sequence[str], log: Path, request: bytes, held: int, killable: bool
    ) -> None:
        self.name, self.model, self.request, self.held, self.killable = name, model, request, held, killable
        self._command = [sys.executable, "-m", "serving.server", *flags]
        self._log = log
        self._ports = ("auto", "auto")
        self._process: subprocess.Popen[str] | None = None
        self._measured: psutil.Process | None = None
        self.changing = threading.Lock()  # held by who kills it

    @property
    def target(self) -> str:
        """Its gRPC address."""
        return f"127.0.0.1:{self._ports[0]}"

    @property
    def rest(self) -> tuple[str, int]:
        """Its REST address."""
        return "127.0.0.1", int(self._ports[1])

    def start(self) -> None:
        """Returns when it serves."""
        ports = ("--port", self._ports[0], "--rest-api-port", self._ports[1])
        with self._log.open("a") as said:
            self._process = subprocess.Popen(
                [*self._command, *ports], cwd=ROOT, stdout=subprocess.PIPE, stderr=said, text=True
            )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line.startswith("serving"):
            raise SystemExit(f"server {self.name} did not start; see {self._log}")
        grpc, rest = (re.search(rf"{kind} 127\.0\.0\.1:(\d+)", line) for kind in ("gRPC", "REST"))
        assert grpc is not None and rest is not None
        self._ports = (grpc[1], rest[1])
        self._measured = psutil.Process(self._process.pid)

    def kill(self) -> None:
        """As the kernel does when memory is short."""
        assert self._process is not None
        self._process.kill()
        self._process.communicate()

    def end(self) -> None:
        """In order; a server that has to be killed has not ended in order."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.communicate(timeout=_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()

    def resident(self) -> int:
        """Bytes of memory."""
        assert self._measured is not None
        return self._measured.memory_info().rss

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
        """A REST call on a connection of its own."""
        connection = http.client.HTTPConnection(*self.rest, timeout=_TIMEOUT_S)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def status(self) -> dict[int, tuple[str, str]]:
        """State and error by version."""
        found = json.loads(self.ask("GET", f"/v1/models/{self.model}")[1])["model_version_status"]
        return {int(one["version"]): (one["state"], one["status"]["error_message"]) for one in found}
