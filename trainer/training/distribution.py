"""Where training runs: one device, the devices of one machine, or machines named by TF_CONFIG."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from trainer.config_training import DistributionConfig
from trainer.training.cluster import read_task

_PART_BYTES = 256 << 10  # of a table on a server: smaller ones cost more calls than they spare memory


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
        task = read_task(config.strategy)
        return Placement(tf.distribute.MultiWorkerMirroredStrategy(), task.writes)
    if config.strategy == "parameter_server":
        return Placement(_on_servers(), True)
    return Placement(tf.distribute.get_strategy(), True)


def _on_servers() -> tf.distribute.Strategy:
    """The chief's, of workers and parameter servers."""
    cluster = tf.distribute.cluster_resolver.TFConfigClusterResolver()
    servers = len(cluster.cluster_spec().job_tasks("ps"))
    parts = tf.distribute.experimental.partitioners.MinSizePartitioner(_PART_BYTES, max_shards=servers)
    return tf.distribute.ParameterServerStrategy(cluster, variable_partitioner=parts)
