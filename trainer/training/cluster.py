"""The cluster that TF_CONFIG names, as Vertex AI sets it, and which of its machines this is."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

from preprocessing.command.console import UserError

_FORMS = {
    "multiworker": '{"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}',
    "parameter_server": (
        '{"cluster": {"chief": ["host:port"], "worker": ["host:port", ...], "ps": ["host:port", ...]}, '
        '"task": {"type": "chief", "index": 0}}'
    ),
}


class Task(NamedTuple):
    """One machine of a cluster."""

    type: str
    number: int
    cluster: dict[str, list[str]]  # the addresses of each type

    @property
    def writes(self) -> bool:
        """Whether it is the one that writes: the chief, or where there is none the first worker."""
        return self.type == "chief" or (self.type == "worker" and "chief" not in self.cluster and self.number == 0)


def read_task(strategy: str) -> Task:
    """What TF_CONFIG says."""
    try:
        given = json.loads(os.environ.get("TF_CONFIG", ""))
        task = Task(given["task"]["type"], int(given["task"]["index"]), given["cluster"])
        known = task.type == "evaluator" or task.number < len(task.cluster[task.type])
    except (ValueError, KeyError, TypeError):
        known = False
    if not known:
        raise UserError(
            f"trainer.distribution.strategy is {strategy}, but TF_CONFIG does not name a cluster and a task; "
            f"it looks like {_FORMS[strategy]}"
        )
    if strategy == "parameter_server":
        _check_servers(task)
    return task


def _check_servers(task: Task) -> None:
    missing = [name for name in ("chief", "worker", "ps") if not task.cluster.get(name)]
    if missing:
        raise UserError(f"TF_CONFIG: parameter_server needs a chief, workers and servers (ps); {missing[0]} has none")
    if task.type not in ("chief", "worker", "ps"):
        raise UserError(f"TF_CONFIG: a task of type {task.type!r} has nothing to do here: the chief validates")
