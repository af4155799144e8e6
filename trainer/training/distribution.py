"""Where training runs: one device, the devices of one machine, or machines named by TF_CONFIG."""

from __future__ import annotations

import json
import os
from typing import NamedTuple

import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.config import DistributionConfig


class Placement(NamedTuple):
    """A strategy, and whether this process is the one that writes."""

    strategy: tf.distribute.Strategy
    chief: bool

    def from_chief(self, value: float) -> float:
        """The chief's value on every machine; the others wait for it, however long it takes."""
        if not isinstance(self.strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return value
        share = value / len(self.strategy.extended.worker_devices) if self.chief else 0.0
        return float(_sum(self.strategy, tf.constant(share)))


@tf.function
def _sum(strategy: tf.distribute.Strategy, share: tf.Tensor) -> tf.Tensor:
    """Of a scalar over all replicas of all machines."""
    return strategy.reduce(tf.distribute.ReduceOp.SUM, strategy.run(tf.identity, (share,)), axis=None)


def placement_of(config: DistributionConfig) -> Placement:
    """The strategy of the config."""
    if config.strategy == "mirrored":
        return Placement(tf.distribute.MirroredStrategy(list(config.devices) or None), True)
    if config.strategy == "multiworker":
        task = _task()
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
        return Placement(strategy, task["type"] == "chief" or (task["type"] == "worker" and _is_first(task)))
    return Placement(tf.distribute.get_strategy(), True)


def _task() -> dict:
    try:
        cluster = json.loads(os.environ.get("TF_CONFIG", ""))
        return {**cluster["task"], "cluster": cluster["cluster"]}
    except (ValueError, KeyError, TypeError):
        raise UserError(
            "trainer.distribution.strategy is multiworker, but TF_CONFIG does not name a cluster and a task; "
            'it looks like {"cluster": {"worker": ["host:port", ...]}, "task": {"type": "worker", "index": 0}}'
        ) from None


def _is_first(task: dict) -> bool:
    return "chief" not in task["cluster"] and int(task["index"]) == 0
