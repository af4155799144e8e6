"""Stages that are run once: a heading, the command, its time; what is done is not done again."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from preprocessing.command.console import UserError


class Stages:
    """Runs the demo's commands in order, and remembers which ended well."""

    def __init__(self, folder: Path, console: Console) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "demo.json"
        self._done: dict[str, dict] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._console = console
        self._again = False  # once a stage runs, those behind it run as well

    def run(self, title: str, module: str, *arguments: str) -> None:
        """`python -m module`, unless the very same command ended well before and nothing before it ran anew."""
        command = [module, *arguments]
        done = self._done.get(title)
        self._console.rule(f"[bold]{title}", align="left")
        if done is not None and done["command"] == command and not self._again:
            self._console.print(f"done before, in {done['seconds']:.0f} s", highlight=False)
            return
        self._again = True
        self._console.print(f"python -m {' '.join(command)}", style="dim", highlight=False, soft_wrap=True)
        begun = time.monotonic()
        status = _run([sys.executable, "-m", *command])
        if status:
            raise UserError(f"{title}: python -m {module} ended with status {status}; see above")
        self._note(title, {"command": command, "seconds": round(time.monotonic() - begun, 1)})
        self._console.print(f"{self._done[title]['seconds']:.0f} s", style="green", highlight=False)

    def _note(self, title: str, done: dict) -> None:
        self._done[title] = done
        aside = self._path.with_suffix(".part")
        aside.write_text(json.dumps(self._done, indent=1))
        aside.replace(self._path)


def _run(command: Sequence[str]) -> int:
    """The exit status. Ctrl-C is answered here alone: a stage can be ended at any moment, and says nothing of it."""
    with subprocess.Popen(command, preexec_fn=_leave_ctrl_c_to_the_demo) as stage:
        try:
            return stage.wait()
        except KeyboardInterrupt:
            stage.kill()
            raise


def _leave_ctrl_c_to_the_demo() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
