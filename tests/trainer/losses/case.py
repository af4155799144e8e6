"""Three requests small enough to count by hand."""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from trainer.config import LossConfig
from trainer.losses.objective import Encoded, Objective
from trainer.towers.noise import Noise

ITEMS, DIM = 50, 6
CLICK_RATES = (0.2, 0.3, 0.05)  # of the first three positions
SHOWN_POSITIONS = [[2], [], [7]]  # of "shown" below; the last is behind those that are known
QUERIES = (8, 5, 8)  # the first and the last ask the same
LEAVES = {item: item % 3 for item in range(ITEMS)}  # 0 is none


class Case:
    """Three requests with two, one and two positives, of which some meet again in the pool."""

    def __init__(self) -> None:
        draw = np.random.default_rng(5)
        self.table = draw.normal(size=(ITEMS, DIM)).astype(np.float32)
        self.odds = draw.dirichlet(np.ones(ITEMS)).astype(np.float32)
        self.queries = draw.normal(size=(3, DIM)).astype(np.float32)
        self.stages = {"ordered": ([1], [7]), "clicked": ([0, 0, 2, 2], [3, 4, 7, 9]), "shown": ([0, 2], [11, 12])}
        self.catalog = [4, 20, 21, 9, 22, 11, 20]

    def encoded(self, rows: list[int], items: list[int]) -> Encoded:
        keys = tf.constant(items, tf.int64)
        odds = tf.constant(np.log(self.odds[items]))
        leaves = tf.constant([LEAVES[item] for item in items], tf.int64)
        return Encoded(tf.constant(self.table[items]), keys, odds, tf.constant(rows, tf.int32), leaves)

    def loss(self, config: LossConfig) -> dict[str, float]:
        objective = Objective(config, ITEMS, Noise(3), CLICK_RATES)
        stages = {name: self.encoded(*self.stages[name]) for name in objective.stages}
        shared = self.encoded([-1] * len(self.catalog), self.catalog) if config.catalog_negatives else None
        losses = objective(tf.constant(self.queries), stages, shared, self.requests())
        return {name: float(loss) for name, loss in losses.items()}

    def requests(self) -> dict[str, tf.Tensor | tf.RaggedTensor]:
        """What is read of the requests besides their items' vectors."""
        keyed: dict[str, tf.Tensor | tf.RaggedTensor] = {"query_key": tf.constant(QUERIES, tf.int64)}
        keyed["shown_position"] = tf.ragged.constant(SHOWN_POSITIONS, tf.int64)
        for stage, (rows, items) in self.stages.items():
            keyed[f"{stage}_key"] = tf.RaggedTensor.from_value_rowids(tf.constant(items, tf.int64), rows, nrows=3)
        return keyed

    def positives(self) -> list[tuple[int, int, float]]:
        """(request, item, weight)."""
        weights = {"ordered": 2.0, "clicked": 1.0}
        return [(r, i, w) for stage, w in weights.items() for r, i in zip(*self.stages[stage], strict=True)]

    def pool(self, catalog: bool, in_batch: bool) -> list[tuple[int, int]]:
        """(owner, item) of each candidate."""
        slots = [(-1, item) for item in self.catalog] if catalog else []
        return slots + ([(r, i) for r, i, _ in self.positives()] if in_batch else [])

    def correction(self, item: int, catalog: bool, in_batch: bool) -> float:
        expected = len(self.catalog) / ITEMS if catalog else 0.0
        if in_batch:
            expected += len(self.positives()) * (1 - 1 / 3) * self.odds[item]
        return math.log(expected)

    def score(self, request: int, item: int) -> float:
        return float(self.queries[request] @ self.table[item])
