"""A job's item tower, called as a version's `embed_item` is, without a version."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from serving.graph.item_encoder import ItemEncoder
from serving.graph.towers import load_tower, load_vocabularies
from serving.inputs import ITEM_INPUTS


class ItemTowerSession:
    """The tower and its vocabularies in a graph session, which unlike TensorFlow's own context has its own threads."""

    def __init__(self, job_dir: str, threads: int) -> None:
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=threads,
            use_per_session_threads=True,
        )
        with tf.Graph().as_default() as graph:
            encoder = ItemEncoder(load_tower(job_dir, "item"), load_vocabularies(job_dir))
            self._inputs = {name: tf.compat.v1.placeholder(tf.string, [None], name) for name in ITEM_INPUTS}
            self._embedding = encoder(self._inputs)
            self._session = tf.compat.v1.Session(graph=graph, config=config)
            self._session.run([tf.compat.v1.global_variables_initializer(), tf.compat.v1.tables_initializer()])

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """`embed_item` with numpy arrays by input name."""
        del signature
        feeds = {self._inputs[name]: value for name, value in inputs.items()}
        return {"embedding": self._session.run(self._embedding, feeds)}
