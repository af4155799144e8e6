"""python -m trainer.cloud.vertex_trial: a trial of a tuning job. Vertex AI adds a flag for each value it has drawn."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, run_command
from trainer import task
from trainer.config import TrainerConfig

_OWN = ("--config", "--data", "--job-dir", "--set")
_METRIC_FILE = "/tmp/hypertune/output.metrics"


def task_flags(argv: Sequence[str], trial: str) -> list[str]:
    """The flags of `trainer.task`: `--loss.temperature=0.5` is a `--set`, and the job is a folder of its own.

    >>> task_flags(["--job-dir", "gs://b/tune", "--loss.temperature=0.5"], "3")
    ['--job-dir', 'gs://b/tune/3', '--set', 'trainer.loss.temperature=0.5']
    """
    flags: list[str] = []
    for flag in argv:
        name, equals, value = flag.partition("=")
        if flags and flags[-1] == "--job-dir":
            flags.append(f"{flag.rstrip('/')}/{trial}")
        elif equals and name.startswith("--") and name not in _OWN:
            flags += ["--set", f"trainer.{name.removeprefix('--')}={value}"]
        else:
            flags.append(flag)
    return flags


def write_metric(metric: str, value: float, trial: str) -> None:
    """Says how good the trial was, in the file and the form that the agent on the machine watches for."""
    path = os.environ.get("CLOUD_ML_HP_METRIC_FILE", _METRIC_FILE)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    line = {"timestamp": time.time(), "trial": trial, metric: str(value), "global_step": "0", "checkpoint_path": ""}
    with open(path, "w", encoding="utf-8") as file:  # on the machine itself, whatever the job folder is on
        file.write(json.dumps(line, sort_keys=True) + "\n")


def main(argv: list[str] | None = None) -> int:
    """The command."""
    import sys

    trial = os.environ.get("CLOUD_ML_TRIAL_ID")
    if not trial:
        raise UserError("CLOUD_ML_TRIAL_ID is not set: this command runs inside a tuning job of Vertex AI")
    flags = task.arguments(task_flags(sys.argv[1:] if argv is None else argv, trial))
    recall = task.run(flags)
    if recall is None:
        raise UserError(f"--data {flags.data}: no validation request in it to choose by; preprocessing.split decides")
    write_metric(TrainerConfig().tune.metric, recall, trial)
    return 0


if __name__ == "__main__":
    run_command(main)
