"""Two towers over one set of embeddings, trained as they are used: a query against the whole catalogue."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow_recommenders as tfrs

from preprocessing.records import ATTRIBUTES
from trainer.config import TrainerConfig
from trainer.item_tower import ItemTower
from trainer.layers import Embeddings
from trainer.losses import accidental_hits, log_expected_count, mixed_hard_negatives, softmax_loss
from trainer.query_tower import QueryTower, dense

Features = dict[str, Any]
_ID_BUCKETS = 2**62  # item ids are compared by hash, never by the vocabulary that unseen items share


class Retrieval(tfrs.Model):
    """MGDSPR: softmax over positives, shared negatives and the batch's own."""

    def __init__(self, config: TrainerConfig, spec: dict[str, Any]) -> None:
        super().__init__()
        sizes = {name: vocabulary["ids"] for name, vocabulary in spec["vocabularies"].items()}
        self._config = config
        self._items_in_catalogue = float(max(spec["items"], 1))
        # Its state is in the checkpoint: a resumed run draws what an uninterrupted one would have drawn.
        self.random = tf.random.Generator.from_seed(config.seed)
        self.embeddings = Embeddings(sizes, config.model.dim)
        self.query_tower = QueryTower(config.model, self.embeddings)
        self.item_tower = ItemTower(config.model, self.embeddings, self.random)

    def catalog_vectors(self, features: Features, training: bool = False) -> tf.Tensor:
        """Vectors `[m, d]` of parsed catalogue records."""
        ids = {name: features[name] for name in ATTRIBUTES}
        return self.item_tower({**ids, "title_word": dense(features["title_word"])}, training=training)

    def compute_loss(self, inputs: tuple[Features, Features], training: bool = False) -> tf.Tensor:
        """The loss of a batch of requests with a batch of items drawn from the catalogue."""
        requests, drawn = inputs
        loss = self._config.loss
        query = self.query_tower(requests)
        ids, weights, log_prob, vectors = self._positives(requests, training)
        batch, count = tf.shape(ids)[0], tf.shape(ids)[1]
        negative_ids, negatives, negative_log_prob = self._negatives(drawn, ids, vectors, log_prob, training)
        draws = tf.reduce_sum(tf.cast(weights > 0, tf.float32)) * float(loss.in_batch)
        correct = lambda log_probs: log_expected_count(  # noqa: E731
            log_probs, draws, -tf.math.log(self._items_in_catalogue), float(loss.shared_negatives)
        )
        hits = accidental_hits(ids, negative_ids) | (negative_ids == 0)[None, :]
        scores = tf.matmul(query, negatives, transpose_b=True) - correct(negative_log_prob)[None, :]
        positive_scores = tf.einsum("bd,bpd->bp", query, vectors) - correct(log_prob)
        hard = loss.hard_negatives
        if hard.count:
            alphas = self.random.uniform([batch, count, hard.count], hard.low, hard.high)
            mixed = mixed_hard_negatives(query, vectors, negatives, hits, alphas)[:, 0]
            scores = tf.concat([scores, mixed - correct(log_prob)[:, :1]], axis=1)
            hits = tf.pad(hits, [[0, 0], [0, hard.count]])
        return softmax_loss(positive_scores, weights, scores, hits, loss.temperature)

    def _positives(self, requests: Features, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Hashed ids, weights and log-probabilities `[b, p]` and vectors `[b, p, d]`, ordered items first."""
        limit = self._config.positives

        def both(name: str) -> tf.RaggedTensor:
            return tf.concat([requests[f"ordered_{name}"], requests[f"clicked_{name}"]], axis=1)[:, :limit]

        names = both("item_id")
        ids = 1 + tf.strings.to_hash_bucket_fast(names.to_tensor(), _ID_BUCKETS)
        present = tf.sequence_mask(names.row_lengths(), tf.shape(ids)[1])
        ordered = tf.sequence_mask(requests["ordered_item_id"].row_lengths(), tf.shape(ids)[1])
        weights = tf.where(ordered, self._config.loss.order_weight, 1.0) * tf.cast(present, tf.float32)
        fields = {name: tf.reshape(both(name).to_tensor(), [-1]) for name in ATTRIBUTES}
        titles = both("title_word").to_tensor()
        fields["title_word"] = tf.reshape(titles, [-1, tf.shape(titles)[2]])
        vectors = self.item_tower(fields, training=training)
        shaped = tf.reshape(vectors, [tf.shape(ids)[0], tf.shape(ids)[1], self._config.model.dim])
        return tf.where(present, ids, 0), weights, both("log_prob").to_tensor(), shaped

    def _negatives(
        self, drawn: Features, ids: tf.Tensor, vectors: tf.Tensor, log_prob: tf.Tensor, training: bool
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Hashed ids `[n]`, vectors `[n, d]` and log-probabilities `[n]` from the catalogue and the batch."""
        parts = []
        if self._config.loss.shared_negatives:
            names = 1 + tf.strings.to_hash_bucket_fast(drawn["item_id"], _ID_BUCKETS)
            parts.append((names, self.catalog_vectors(drawn, training), drawn["log_prob"]))
        if self._config.loss.in_batch:
            flat = tf.reshape(vectors, [-1, self._config.model.dim])
            parts.append((tf.reshape(ids, [-1]), flat, tf.reshape(log_prob, [-1])))
        found = [tf.concat(part, axis=0) for part in zip(*parts, strict=True)]
        return found[0], found[1], found[2]
