"""L = L_retrieval + lambda * L_rank, put together from its parts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from preprocessing.data.features import STAGES
from trainer.config import LossConfig
from trainer.data.padding import ABSENT, Padded
from trainer.losses.false_negatives import FalseNegatives
from trainer.losses.hard_negatives import hardest, mixed_negatives
from trainer.losses.levels import OwnItems, level_loss
from trainer.losses.negatives import NEVER, Pool, either, held, log_expected_count, places_of, without
from trainer.losses.position_weights import PositionWeights
from trainer.losses.ranking import ranking_losses
from trainer.losses.replicas import gathered, replica_number, replicas, summed
from trainer.losses.retrieval import hinge_losses, log_sums, softmax_losses
from trainer.losses.same_leaf import leaf_places, log_weights, padded_leaf_places
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
    there: tf.Tensor | None = None  # bool [n], of padded lists: where an item is; S places a request, stage by stage

    @property
    def count(self) -> tf.Tensor:
        """How many they are."""
        return tf.size(self.keys) if self.there is None else tf.reduce_sum(tf.cast(self.there, tf.int32))

    @property
    def weight(self) -> tf.Tensor:
        """`[n]`: 1, 0 where a list has ended."""
        return tf.ones(tf.shape(self.keys)) if self.there is None else tf.cast(self.there, tf.float32)


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
        if own.there is not None:
            scores = without(scores, (pool.keys == ABSENT)[None])
        scores = without(scores, self._own_places(own, pool, stages, tf.shape(queries)[0]))
        mine = tf.gather(queries, own.rows)
        logits = tf.reduce_sum(mine * own.vectors, axis=1) / temperature - correction
        if self._config.kind == "hinge":
            losses = hinge_losses(logits, own.rows, scores - pool.log_count, self._config.hinge_margin)
            return tf.reduce_sum(self._weights(stages) * losses)
        hard = scores
        if self._config.hard_negatives.count:
            hard = without(scores, self._called_relevant(chosen, pool, stages, requests))
        if self._config.same_leaf_negatives:
            places = self._same_leaf(chosen, pool, stages, tf.shape(queries)[0])
            scores += log_weights(places, scores, pool.log_count, self._config.same_leaf_negatives)
        others = self._others(logits, own.rows, scores, hard, pool.log_count)
        if not self._config.levels:
            return tf.reduce_sum(self._weights(stages) * softmax_losses(logits, others))
        return level_loss(self._own_items(logits, others, own, stages), tf.shape(queries)[0], self._config.levels)

    def _own_items(self, logits: tf.Tensor, others: tf.Tensor, own: Encoded, stages: Mapping[str, Encoded]) -> OwnItems:
        numbers = [tf.fill(tf.shape(stages[stage].keys), number) for number, stage in enumerate(self._own_stages)]
        by_stage = tf.concat(numbers, axis=0)
        if own.there is not None:  # where no item is, there is none of any level
            logits, by_stage = tf.where(own.there, logits, NEVER), tf.where(own.there, by_stage, len(STAGES))
        return OwnItems(logits, others, own.rows, by_stage)

    def _weights(self, stages: dict[str, Encoded]) -> tf.Tensor:
        """`[P]`, of each positive by its stage; over all replicas they sum to 1."""
        filled = [stages[stage].weight * weight for stage, weight in self._stage_weights.items()]
        weights = tf.concat(filled, axis=0)
        return weights / tf.maximum(summed(tf.reduce_sum(weights)), 1.0)

    def _called_relevant(
        self, chosen: Encoded, pool: Pool, stages: Mapping[str, Encoded], requests: Mapping[str, Any]
    ) -> tf.Tensor:
        """Where the pool holds what must not be mixed: `[n, 2]`, of padded lists bool `[B, C]`."""
        places = self._false_negatives.places(requests, pool.keys)
        if "leaf" not in self._config.hard_negatives.mask:
            return places
        batch = tf.shape(requests[f"{self._pool_stages[0]}_key"].values)[0] if chosen.there is not None else 0
        return either([places, self._same_leaf(chosen, pool, stages, batch)])

    def _same_leaf(
        self, chosen: Encoded, pool: Pool, stages: Mapping[str, Encoded], requests: tf.Tensor | int
    ) -> tf.Tensor:
        """Where the pool holds what is of a leaf that was chosen."""
        if chosen.there is None:
            return leaf_places(chosen.rows, chosen.leaves, pool.leaves)
        return padded_leaf_places(_grid([stages[stage].leaves for stage in self._pool_stages], requests), pool.leaves)

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
        vectors, keys, log_prob, owners, leaves = (gathered(part) for part in _together(sources)[:5])
        if config.kind == "hinge" or not config.correction:
            return Pool(vectors, keys, owners, leaves, tf.zeros_like(log_prob)), tf.zeros_like(own.log_prob)
        requests = tf.cast(tf.shape(queries)[0] * replicas(), tf.float32)
        drawn = tf.size(catalog.keys) * replicas() if catalog is not None else 0
        # Of what the batch brings a request's own is masked: on average a share of 1/B.
        others = summed(tf.cast(brought.count, tf.float32)) * (1 - 1 / requests) if config.in_batch else 0.0
        counts = (log_expected_count(odds, drawn, self._items, others) for odds in (log_prob, own.log_prob))
        log_count, correction = counts
        return Pool(vectors, keys, owners, leaves, log_count), correction

    def _own_places(self, own: Encoded, pool: Pool, stages: Mapping[str, Encoded], requests: tf.Tensor) -> tf.Tensor:
        """Where a request would meet its own items in the pool: those slots, or every copy of those items."""
        if own.there is not None:
            if not self._config.mask_accidental_hits:
                return tf.range(requests)[:, None] == pool.owners
            return held(_grid([stages[stage].keys for stage in self._own_stages], requests), pool.keys)
        if self._config.mask_accidental_hits:
            return places_of(own.rows, own.keys, pool.keys)
        rows = tf.range(requests)
        return places_of(rows, _request_numbers(rows, rows), pool.owners)

    def _ranking(
        self,
        queries: tf.Tensor,
        stages: dict[str, Encoded],
        catalog: Encoded | None,
        shown_positions: tf.RaggedTensor | Padded | None,
    ) -> tf.Tensor:
        """The mean over requests, of all replicas."""
        batch = tf.shape(queries)[0]
        queries /= self._config.temperature
        scores, masks = {}, {}
        for name, items in stages.items():
            flat = tf.reduce_sum(tf.gather(queries, items.rows) * items.vectors, axis=1)
            scores[name], masks[name] = _by_request(flat, items, batch)
        if catalog is not None:
            count = self._config.ranking.random_items
            scores["random"] = tf.matmul(queries, catalog.vectors[:count], transpose_b=True)
            there = tf.ones_like(scores["random"])
            for items in stages.values():
                there = without(there, _where(items, catalog.keys[:count], batch))
            masks["random"] = there > 0
        looked_at = None
        if self._position_weights is not None and shown_positions is not None:
            looked_at = self._looked_at(shown_positions)
        losses = ranking_losses(scores, masks, self._config.ranking, looked_at)
        return tf.reduce_sum(losses) / tf.cast(batch * replicas(), tf.float32)

    def _looked_at(self, positions: tf.RaggedTensor | Padded) -> tf.Tensor:
        """How likely each item that was shown was seen: `[B, n]`."""
        assert self._position_weights is not None
        if isinstance(positions, Padded):
            return self._position_weights(positions.values)
        return positions.with_values(self._position_weights(positions.values)).to_tensor()

    def _by_tfrs(self, queries: tf.Tensor, positives: Encoded, weights: tf.Tensor) -> tf.Tensor:
        odds = tf.exp(positives.log_prob) if self._config.correction else None
        mine = tf.gather(queries, positives.rows)
        return self._library(mine, positives.vectors, positives.rows, positives.keys, weights, odds)


def _together(parts: Iterable[Encoded]) -> Encoded:
    """Some items one below the other."""
    parts = list(parts)
    there = None
    if any(part.there is not None for part in parts):
        there = tf.concat([part.weight > 0 for part in parts], axis=0)
    columns = [tf.concat(column, axis=0) for column in zip(*(part[:5] for part in parts), strict=True)]
    return Encoded(*columns)._replace(there=there)


def _by_request(values: tf.Tensor, items: Encoded, requests: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Values of items `[n]` as `[B, S]`, and which of these there are."""
    if items.there is not None:
        return _grid([values], requests), _grid([items.there], requests)
    lists = tf.RaggedTensor.from_value_rowids(values, items.rows, nrows=tf.cast(requests, items.rows.dtype))
    return lists.to_tensor(), tf.sequence_mask(lists.row_lengths())


def _where(items: Encoded, keys: tf.Tensor, requests: tf.Tensor) -> tf.Tensor:
    """Where keys `[C]` are of a request's items."""
    if items.there is not None:
        return held(_grid([items.keys], requests), keys)
    return places_of(items.rows, items.keys, keys)


def _grid(stages: Iterable[tf.Tensor], requests: tf.Tensor | int) -> tf.Tensor:
    """Places of padded lists `[B * S]`, stage by stage, as `[B, S of all stages]`."""
    return tf.concat([tf.reshape(one, [requests, -1]) for one in stages], axis=1)


def _request_numbers(rows: tf.Tensor, queries: tf.Tensor) -> tf.Tensor:
    """Rows of this replica's batch, numbered over all replicas."""
    return rows + replica_number() * tf.shape(queries)[0]
