"""python -m trainer.tuning.child_process: `trainer.task` as the child of a search, which ends when the search does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence

from preprocessing.command.console import run_command
from trainer.task import main


def run_trial(config_path: str, data_dir: str, job_dir: str) -> int:
    """Trains a job in a process of its own, where TensorFlow is as new; returns its exit status."""
    command = [sys.executable, "-m", "trainer.tuning.child_process"]
    command += ["--config", config_path, "--data", data_dir, "--job-dir", job_dir]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        return process.wait()


def _end_with_the_search() -> None:
    os.read(sys.stdin.fileno(), 1)  # nothing is ever written: it returns when the search is gone, however it went
    os._exit(1)


def _main(argv: Sequence[str] | None) -> int:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search answers an interruption for both
    threading.Thread(target=_end_with_the_search, daemon=True).start()
    return main(list(argv) if argv else None)


if __name__ == "__main__":
    run_command(_main)
