"""A process that is measured beside others: it works while it is asked, and rests otherwise."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).resolve().parent.parent


class Subject:
    """`python -m module name arguments...`, which answers a line of stdin by a line of JSON."""

    def __init__(self, module: str, name: str, *arguments: object) -> None:
        command = [sys.executable, "-m", module, name, *map(str, arguments)]
        self.name = name
        self._process = subprocess.Popen(command, cwd=_ROOT, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = self._process.pid

    def ask(self, what: str) -> Any:
        """The answer to one line."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{what}\n")
        self._process.stdin.flush()
        return self.answer()

    def answer(self) -> Any:
        """What it says next."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.name} ended with status {self._process.wait()}")
        return json.loads(line)

    def end(self) -> None:
        """Lets it go."""
        self._process.communicate()
