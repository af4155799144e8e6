"""Child processes that never outlive the tests, each with a log of its own."""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

# atexit does not run when the test runner itself is killed; this ends its processes then too, where it is installed.
_DIE_WITH_PARENT = ("setpriv", "--pdeathsig", "KILL", "--") if shutil.which("setpriv") else ()


class Processes:
    """Named processes, each the leader of its own group, with `<logs>/<name>.log`."""

    def __init__(self, logs: Path) -> None:
        self.logs = logs
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        logs.mkdir(parents=True, exist_ok=True)
        atexit.register(self.kill_all)

    def start(
        self, name: str, command: Sequence[str], env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> subprocess.Popen[bytes]:
        """Starts a command; `env` is added to this process's own."""
        with self.log(name).open("wb") as log:
            process = subprocess.Popen(
                [*_DIE_WITH_PARENT, *command],
                env={**os.environ, **(env or {})},
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._running[name] = process
        return process

    def kill(self, name: str) -> None:
        """kill -9 for a process and whatever it started."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):  # the whole group has ended already
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def kill_all(self) -> None:
        for name in list(self._running):
            self.kill(name)
        atexit.unregister(self.kill_all)

    def dead(self) -> list[str]:
        """The processes that ended although nobody asked them to."""
        return [name for name, process in self._running.items() if process.poll() is not None]

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def tails(self, lines: int = 30) -> str:
        """The end of every log, for a failure's message."""
        parts = []
        for path in sorted(self.logs.glob("*.log")):
            end = path.read_text(errors="replace").splitlines()[-lines:]
            parts.append("\n".join([f"----- {path.name}", *end]))
        return "\n".join(parts)
