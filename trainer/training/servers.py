"""A worker or a parameter server: it does what the chief asks of it, as long as there is a chief."""

from __future__ import annotations

import os
import socket
import time

import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.job.job_folder import Job
from trainer.training.cluster import Task

_EVERY_S, _PATIENCE_S = 3.0, 600.0  # a chief that is started again is not given up


def serve(task: Task, job: Job) -> None:
    """Serves until the chief has been there and is gone, its job done; one that is late or lost is waited for."""
    # A step waits for the others' answers in a thread of its own: with one for each of few cores all of them wait.
    threads = max(os.cpu_count() or 1, len(task.cluster["worker"]) + 1)
    config = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=threads)
    cluster = tf.train.ClusterSpec(task.cluster)
    tf.distribute.Server(cluster, job_name=task.type, task_index=task.number, config=config, start=True)
    host, _, port = task.cluster["chief"][0].rpartition(":")
    seen, was_there = time.monotonic(), False
    while True:
        time.sleep(_EVERY_S)
        if _listens(host, int(port)):
            seen, was_there = time.monotonic(), True
        elif was_there and tf.io.gfile.exists(job.towers):
            return
        elif time.monotonic() - seen > _PATIENCE_S:
            raise UserError(
                f"no chief at {host}:{port} for {_PATIENCE_S / 60:.0f} minutes, and no towers in {job.path}; "
                "start all machines again: the job goes on"
            )


def _listens(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=_EVERY_S):
            return True
    except OSError:
        return False
