"""The user's previous queries, attended by the present one."""

from __future__ import annotations

import tensorflow as tf

from trainer.towers.attention import query_attention
from trainer.towers.embeddings import Tables
from trainer.towers.ragged import Ids, padded, ragged


def attend_previous(words: tf.Tensor, history: Ids, tables: Tables) -> tf.Tensor:
    """q_his_seq = softmax(q_seg . Q_his^T) Q_his.

    Args:
      words: q_seg `[B, d]`, the mean of the query's words.
      history: word ids `[B, (queries), (words)]`, padded or ragged.
      tables: where words have their vectors; a previous query is the mean of its words.

    Returns:
      `[B, d]`, zeros for a user without previous queries.
    """
    previous = previous_queries(history)
    vectors, mask = padded(tables.mean("word", previous.values), previous)
    return query_attention(words[:, None], vectors, mask, zero_vector=False)[:, 0]


def previous_queries(history: Ids) -> tf.RaggedTensor:
    """`[B, (queries), (words)]` of padded or ragged word ids, without queries that have no word."""
    if isinstance(history, tf.Tensor):  # [B, N, L], padded with zeros
        batch, width, longest = tf.unstack(tf.shape(history, tf.int64))
        flat = ragged(tf.reshape(history, tf.stack([batch * width, longest])))
        history = tf.RaggedTensor.from_uniform_row_length(flat, width, nrows=batch)
    return tf.ragged.boolean_mask(history, history.with_values(history.values.row_lengths() > 0))
