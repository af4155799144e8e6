"""L = L_retrieval + lambda * L_rank, put together from its parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from preprocessing.data.features import STAGES
from trainer.config import LossConfig
from trainer.losses.hard_negatives import hardest, mixed_negatives
from trainer.losses.negatives import Pool, log_expected_count, places_of, without
from trainer.losses.position_weights import PositionWeights
from trainer.losses.ranking import ranking_losses
from trainer.losses.replicas import gathered, replica_number, replicas, summed
from trainer.losses.retrieval import hinge_losses, softmax_losses, softmax_losses_with_mixed
from trainer.losses.tfrs_retrieval import TfrsRetrieval
from trainer.towers.noise import Noise

SHOWN_POSITION = "shown_position"


class Encoded(NamedTuple):
    """Some items, through the item tower."""

    vectors: tf.Tensor  # [n, d]
    keys: tf.Tensor  # [n]
    log_prob: tf.Tensor  # [n]
    rows: tf.Tensor  # [n], the request of each; -1 for items of the catalogue


class Objective(tf.keras.layers.Layer):
    """The loss of one step; under a strategy, this replica's part of it, so that the parts sum to the whole."""

    def __init__(self, config: LossConfig, items: int, noise: Noise, click_rates: Sequence[float] = ()) -> None:
        super().__init__(name="objective", dtype="float32")
        self._config = config
        self._items = items
        self._noise = noise
        self._stage_weights = {stage: weight for stage, weight in config.stage_weights.items() if weight}
        self._position_weights = PositionWeights(click_rates) if config.ranking.position else None
        if config.kind == "tfrs":
            self._library = TfrsRetrieval(config.temperature, config.mined_negatives, config.mask_accidental_hits)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a request that the loss reads, best first."""
        ranked = STAGES if self._config.ranking.weight else ()
        return tuple(stage for stage in STAGES if stage in self._stage_weights or stage in ranked)

    @property
    def columns(self) -> set[str]:
        """What it reads of requests besides the items of `stages`."""
        return {SHOWN_POSITION} if self._config.ranking.weight and self._position_weights is not None else set()

    @property
    def parts(self) -> tuple[str, ...]:
        """What `call` gives."""
        return ("loss", "retrieval", "ranking") if self._config.ranking.weight else ("loss", "retrieval")

    def call(
        self,
        queries: tf.Tensor,
        stages: dict[str, Encoded],
        catalog: Encoded | None,
        shown_positions: tf.RaggedTensor | None = None,
    ) -> dict[str, tf.Tensor]:
        """The total under "loss", and its parts.

        Args:
          queries: `[B, d]`.
          stages: the items of `self.stages`.
          catalog: the shared negatives.
          shown_positions: `[B, (n)]` of the stage "shown", where `self.columns` names them.
        """
        chosen = [stages[stage] for stage in self._stage_weights]
        positives = Encoded(*(tf.concat(parts, axis=0) for parts in zip(*chosen, strict=True)))
        weights = tf.concat([tf.fill(tf.shape(stages[s].keys), w) for s, w in self._stage_weights.items()], axis=0)
        losses = {"retrieval": self._retrieval(queries, positives, weights, catalog)}
        total = losses["retrieval"]
        if self._config.ranking.weight:
            losses["ranking"] = self._ranking(queries, stages, catalog, shown_positions)
            total += self._config.ranking.weight * losses["ranking"]
        return {"loss": total, **losses}

    def _retrieval(
        self, queries: tf.Tensor, positives: Encoded, weights: tf.Tensor, catalog: Encoded | None
    ) -> tf.Tensor:
        everything = tf.maximum(summed(tf.reduce_sum(weights)), 1.0)
        if self._config.kind == "tfrs":
            return self._by_tfrs(queries, positives, weights) / everything
        pool, correction = self._pool(queries, positives, catalog)
        temperature = self._config.temperature
        scores = tf.matmul(queries, pool.vectors, transpose_b=True) / temperature
        scores = without(scores, self._own_places(positives, pool, tf.shape(queries)[0]))
        mine = tf.gather(queries, positives.rows)
        logits = tf.reduce_sum(mine * positives.vectors, axis=1) / temperature - correction
        return tf.reduce_sum(weights * self._compared(logits, positives.rows, scores, pool.log_count)) / everything

    def _compared(self, positives: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor, log_count: tf.Tensor) -> tf.Tensor:
        """`[P]`: the loss of each positive."""
        config = self._config
        negatives = scores - log_count
        if config.kind == "hinge":
            return hinge_losses(positives, rows, negatives, config.hinge_margin)
        kept = hardest(negatives, config.mined_negatives) if config.mined_negatives else negatives
        if not config.hard_negatives.count:
            return softmax_losses(positives, rows, kept)
        mixed = mixed_negatives(positives, rows, scores, log_count, config.hard_negatives, self._noise)
        return softmax_losses_with_mixed(positives, rows, kept, mixed)

    def _pool(self, queries: tf.Tensor, positives: Encoded, catalog: Encoded | None) -> tuple[Pool, tf.Tensor]:
        """The pool, and the correction of the positives."""
        config = self._config
        owned = positives._replace(rows=_request_numbers(positives.rows, queries))
        sources = [one for one in (catalog, owned if config.in_batch else None) if one is not None]
        joined = (tf.concat(parts, axis=0) for parts in zip(*sources, strict=True))
        vectors, keys, log_prob, owners = (gathered(part) for part in joined)
        if config.kind == "hinge" or not config.correction:
            return Pool(vectors, keys, owners, tf.zeros_like(log_prob)), tf.zeros_like(positives.log_prob)
        requests = tf.cast(tf.shape(queries)[0] * replicas(), tf.float32)
        drawn = tf.size(catalog.keys) * replicas() if catalog is not None else 0
        # Of the positives in the pool a request's own are masked: on average a share of 1/B.
        others = summed(tf.cast(tf.size(positives.keys), tf.float32)) * (1 - 1 / requests) if config.in_batch else 0.0
        counts = (log_expected_count(odds, drawn, self._items, others) for odds in (log_prob, positives.log_prob))
        log_count, correction = counts
        return Pool(vectors, keys, owners, log_count), correction

    def _own_places(self, positives: Encoded, pool: Pool, requests: tf.Tensor) -> tf.Tensor:
        """Where a request would meet its own positives as negatives: those slots, or every copy of those items."""
        if self._config.mask_accidental_hits:
            return places_of(positives.rows, positives.keys, pool.keys)
        rows = tf.range(requests)
        return places_of(rows, _request_numbers(rows, rows), pool.owners)

    def _ranking(
        self,
        queries: tf.Tensor,
        stages: dict[str, Encoded],
        catalog: Encoded | None,
        shown_positions: tf.RaggedTensor | None,
    ) -> tf.Tensor:
        """The mean over requests, of all replicas."""
        batch = tf.shape(queries)[0]
        queries /= self._config.temperature
        scores, masks = {}, {}
        for name, items in stages.items():
            flat = tf.reduce_sum(tf.gather(queries, items.rows) * items.vectors, axis=1)
            lists = tf.RaggedTensor.from_value_rowids(flat, items.rows, nrows=tf.cast(batch, items.rows.dtype))
            scores[name], masks[name] = lists.to_tensor(), tf.sequence_mask(lists.row_lengths())
        if catalog is not None:
            count = self._config.ranking.random_items
            scores["random"] = tf.matmul(queries, catalog.vectors[:count], transpose_b=True)
            there = tf.ones_like(scores["random"])
            for items in stages.values():
                there = without(there, places_of(items.rows, items.keys, catalog.keys[:count]))
            masks["random"] = there > 0
        looked_at = None
        if self._position_weights is not None and shown_positions is not None:
            looked_at = shown_positions.with_values(self._position_weights(shown_positions.values)).to_tensor()
        losses = ranking_losses(scores, masks, self._config.ranking, looked_at)
        return tf.reduce_sum(losses) / tf.cast(batch * replicas(), tf.float32)

    def _by_tfrs(self, queries: tf.Tensor, positives: Encoded, weights: tf.Tensor) -> tf.Tensor:
        odds = tf.exp(positives.log_prob) if self._config.correction else None
        mine = tf.gather(queries, positives.rows)
        return self._library(mine, positives.vectors, positives.rows, positives.keys, weights, odds)


def _request_numbers(rows: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
    """Rows of this replica's batch, numbered over all replicas."""
    return rows + replica_number() * tf.shape(queries)[0]
