"""The user's previous queries, attended by the present one."""

from __future__ import annotations

import tensorflow as tf

from trainer.towers.attention import masked_softmax
from trainer.towers.embeddings import Tables
from trainer.towers.lists import Ids, Lists, by_outer_list


def attend_previous(words: tf.Tensor, history: Ids, tables: Tables) -> tf.Tensor:
    """q_his_seq = softmax(q_seg . Q_his^T) Q_his.

    Args:
      words: q_seg `[B, d]`, the mean of the query's words.
      history: word ids `[B, (queries), (words)]`, padded or ragged; a query without a word is none.
      tables: where words have their vectors; a previous query is the mean of its words.

    Returns:
      `[B, d]`, zeros for a user without previous queries.
    """
    lists = Lists.of(history)
    vectors = by_outer_list(tables.mean_of("word", lists.members(history)[0], lists), history)  # [B, n, d]
    mask = by_outer_list(lists.filled(), history)
    scores = tf.matmul(vectors, words[:, :, None])[:, :, 0]
    weights = masked_softmax(scores, mask)
    return tf.matmul(weights[:, None], vectors)[:, 0]  # a query that is none has the vector zero
