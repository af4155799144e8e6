"""L = L_retrieval + lambda * L_rank, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from preprocessing.data.features import STAGES
from trainer.config import LossConfig
from trainer.losses.false_negatives import FalseNegatives
from trainer.losses.hard_negatives import hardest, mixed_negatives
from trainer.losses.levels import OwnItems, level_loss
from trainer.losses.negatives import Pool, log_expected_count, places_of, without
from trainer.losses.position_weights import PositionWeights
from trainer.losses.ranking import ranking_losses
from trainer.losses.replicas import gathered, replica_number, replicas, summed
from trainer.losses.retrieval import hinge_losses, log_sums, softmax_losses
from trainer.losses.same_leaf import leaf_places, log_weights
from trainer.losses.tfrs_retrieval import TfrsRetrieval
from trainer.towers.noise import Noise

SHOWN_POSITION = "shown_position"


class Encoded(NamedTuple):
    """Some items, through the item tower."""

    vectors: tf.Tensor  # [n, d]
    keys: tf.Tensor  # [n]
    log_prob: tf.Tensor  # [n]
    rows: tf.Tensor  # [n], the request of each; -1 for items of the catalogue
    leaves: tf.Tensor  # [n], ids, where the objective `reads_leaves`


class Objective(tf.keras.layers.Layer):
    """The loss of one step; under a strategy, this replica's part of it, so that the parts sum to the whole."""

    def __init__(self, config: LossConfig, items: int, noise: Noise, click_rates: Sequence[float] = ()) -> None:
        super().__init__(name="objective", dtype="float32")
        self._config = config
        self._items = items
        self._noise = noise
        self._stage_weights = {stage: weight for stage, weight in config.stage_weights.items() if weight}
        self._own_stages = STAGES if config.levels else tuple(self._stage_weights)
        # What was only shown is in no batch's pool: an item's odds are those of being ordered or clicked.
        self._pool_stages = tuple(stage for stage in self._own_stages if stage != "shown")
        self._position_weights = PositionWeights(click_rates) if config.ranking.position else None
        self._false_negatives = FalseNegatives(config.hard_negatives.mask if config.hard_negatives.count else ())
        if config.kind == "tfrs":
            self._library = TfrsRetrieval(config.temperature, config.mined_negatives, config.mask_accidental_hits)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of a request that the loss reads, best first."""
        ranked = STAGES if self._config.ranking.weight else ()
        return tuple(stage for stage in STAGES if stage in self._own_stages or stage in ranked)

    @property
    def columns(self) -> set[str]:
        """What it reads of requests besides the items of `stages`."""
        positions = self._config.ranking.weight and self._position_weights is not None
        return self._false_negatives.columns | ({SHOWN_POSITION} if positions else set())

    @property
    def reads_leaves(self) -> bool:
        """Whether it asks of which leaf items are."""
        hard = self._config.hard_negatives
        return self._config.same_leaf_negatives > 0 or (hard.count > 0 and "leaf" in hard.mask)

    @property
    def parts(self) -> tuple[str, ...]:
        """What `call` gives."""
        return ("loss", "retrieval", "ranking") if self._config.ranking.weight else ("loss", "retrieval")

    def call(
        self,
        queries: tf.Tensor,
        stages: dict[str, Encoded],
        catalog: Encoded | None,
        requests: Mapping[str, Any],
    ) -> dict[str, tf.Tensor]:
        """The total under "loss", and its parts.

        Args:
          queries: `[B, d]`.
          stages: the items of `self.stages`.
          catalog: the shared negatives.
          requests: the features that `self.columns` names, keyed.
        """
        losses = {"retrieval": self._retrieval(queries, stages, catalog, requests)}
        total = losses["retrieval"]
        if self._config.ranking.weight:
            losses["ranking"] = self._ranking(queries, stages, catalog, requests.get(SHOWN_POSITION))
            total += self._config.ranking.weight * losses["ranking"]
        return {"loss": total, **losses}

    def _retrieval(
        self,
        queries: tf.Tensor,
        stages: dict[str, Encoded],
        catalog: Encoded | None,
        requests: Mapping[str, Any],
    ) -> tf.Tensor:
        """The mean over positives, of all replicas."""
        own = _together(stages[stage] for stage in self._own_stages)
        if self._config.kind == "tfrs":
            return self._by_tfrs(queries, own, self._weights(stages))
        chosen = _together(stages[stage] for stage in self._pool_stages)
        pool, correction = self._pool(queries, own, chosen, catalog)
        temperature = self._config.temperature
        scores = tf.matmul(queries, pool.vectors, transpose_b=True) / temperature
        scores = without(scores, self._own_places(own, pool, tf.shape(queries)[0]))
        mine = tf.gather(queries, own.rows)
        logits = tf.reduce_sum(mine * own.vectors, axis=1) / temperature - correction
        if self._config.kind == "hinge":
            losses = hinge_losses(logits, own.rows, scores - pool.log_count, self._config.hinge_margin)
            return tf.reduce_sum(self._weights(stages) * losses)
        hard = scores
        if self._config.hard_negatives.count:
            hard = without(scores, self._called_relevant(chosen, pool, requests))
        if self._config.same_leaf_negatives:
            places = leaf_places(chosen.rows, chosen.leaves, pool.leaves)
            scores += log_weights(places, scores, pool.log_count, self._config.same_leaf_negatives)
        others = self._others(logits, own.rows, scores, hard, pool.log_count)
        if not self._config.levels:
            return tf.reduce_sum(self._weights(stages) * softmax_losses(logits, others))
        sizes = [tf.size(stages[stage].keys) for stage in self._own_stages]
        items = OwnItems(logits, others, own.rows, tf.repeat(tf.range(len(sizes)), sizes))
        return level_loss(items, tf.shape(queries)[0], self._config.levels)

    def _weights(self, stages: dict[str, Encoded]) -> tf.Tensor:
        """`[P]`, of each positive by its stage; over all replicas they sum to 1."""
        filled = [tf.fill(tf.shape(stages[stage].keys), weight) for stage, weight in self._stage_weights.items()]
        weights = tf.concat(filled, axis=0)
        return weights / tf.maximum(summed(tf.reduce_sum(weights)), 1.0)

    def _called_relevant(self, chosen: Encoded, pool: Pool, requests: Mapping[str, Any]) -> tf.Tensor:
        """Where the pool holds what must not be mixed: `[n, 2]`."""
        places = self._false_negatives.places(requests, pool.keys)
        if "leaf" not in self._config.hard_negatives.mask:
            return places
        return tf.concat([places, leaf_places(chosen.rows, chosen.leaves, pool.leaves)], axis=0)

    def _others(
        self, logits: tf.Tensor, rows: tf.Tensor, scores: tf.Tensor, hard: tf.Tensor, log_count: tf.Tensor
    ) -> tf.Tensor:
        """`[P]`: the log of the summed exponents of each positive's negatives, and of its mixtures with the `hard`."""
        config = self._config
        negatives = scores - log_count
        kept = hardest(negatives, config.mined_negatives) if config.mined_negatives else negatives
        if not config.hard_negatives.count:
            return log_sums(rows, kept)
        return log_sums(rows, kept, mixed_negatives(logits, rows, hard, log_count, config.hard_negatives, self._noise))

    def _pool(
        self, queries: tf.Tensor, own: Encoded, brought: Encoded, catalog: Encoded | None
    ) -> tuple[Pool, tf.Tensor]:
        """The pool, of what the batch brings and of the catalogue, and the correction of a request's own items."""
        config = self._config
        brought = brought._replace(rows=_request_numbers(brought.rows, queries))
        sources = [one for one in (catalog, brought if config.in_batch else None) if one is not None]
        vectors, keys, log_prob, owners, leaves = (gathered(part) for part in _together(sources))
        if config.kind == "hinge" or not config.correction:
            return Pool(vectors, keys, owners, leaves, tf.zeros_like(log_prob)), tf.zeros_like(own.log_prob)
        requests = tf.cast(tf.shape(queries)[0] * replicas(), tf.float32)
        drawn = tf.size(catalog.keys) * replicas() if catalog is not None else 0
        # Of what the batch brings a request's own is masked: on average a share of 1/B.
        others = summed(tf.cast(tf.size(brought.keys), tf.float32)) * (1 - 1 / requests) if config.in_batch else 0.0
        counts = (log_expected_count(odds, drawn, self._items, others) for odds in (log_prob, own.log_prob))
        log_count, correction = counts
        return Pool(vectors, keys, owners, leaves, log_count), correction

    def _own_places(self, own: Encoded, pool: Pool, requests: tf.Tensor) -> tf.Tensor:
        """Where a request would meet its own items in the pool: those slots, or every copy of those items."""
        if self._config.mask_accidental_hits:
            return places_of(own.rows, own.keys, pool.keys)
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


def _together(parts: Iterable[Encoded]) -> Encoded:
    """Some items one below the other."""
    return Encoded(*(tf.concat(columns, axis=0) for columns in zip(*parts, strict=True)))


def _request_numbers(rows: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
    """Rows of this replica's batch, numbered over all replicas."""
    return rows + replica_number() * tf.shape(queries)[0]
