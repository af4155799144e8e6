"""The library's own objective, for the tutorial's model: TFRS's Retrieval task and the parts it is made of."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_recommenders as tfrs


class TfrsRetrieval(tf.Module):
    """TFRS's own Retrieval task: one row a positive, negatives in-batch."""

    def __init__(self, temperature: float, mined: int, mask_hits: bool) -> None:
        super().__init__(name="tfrs_retrieval")
        self._task = tfrs.tasks.Retrieval(
            temperature=temperature, num_hard_negatives=mined or None, remove_accidental_hits=mask_hits
        )

    def __call__(
        self,
        queries: tf.Tensor,
        items: tf.Tensor,
        rows: tf.Tensor,
        keys: tf.Tensor,
        weights: tf.Tensor,
        probability: tf.Tensor | None,
    ) -> tf.Tensor:
        """The summed loss of queries `[P, d]` against items `[P, d]`; other items of the same request are masked."""
        own = tf.eye(tf.size(rows), dtype=tf.bool)
        mask = own | (rows[:, None] != rows[None, :])
        return self._task(
            queries,
            items,
            sample_weight=weights,
            candidate_sampling_probability=probability,
            candidate_ids=keys,
            compute_metrics=False,
            compute_batch_metrics=False,
            score_mask=mask,
        )
