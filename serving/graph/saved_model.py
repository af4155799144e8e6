"""A saved model as TensorFlow Serving runs it: a graph session on the `serve` tag, no Python of ours in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from serving.index.scann_ops import load_scann_ops


class ServedModel:
    """Loads a version and calls its signatures, each call with so many threads; 0 are as many as there are cores."""

    def __init__(self, path: str, with_scann: bool, threads: int = 0) -> None:
        if with_scann:
            load_scann_ops()
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=threads,
            use_per_session_threads=threads > 0,
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        with self._session.graph.as_default():
            meta = tf.compat.v1.saved_model.load(self._session, ["serve"], path)
        self.signatures = {name: one for name, one in meta.signature_def.items() if name != "__saved_model_init_op"}

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One call with numpy arrays by input name."""
        definition = self.signatures[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        return self._session.run({name: one.name for name, one in definition.outputs.items()}, feeds)

    def close(self) -> None:
        """Gives the memory back."""
        self._session.close()

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
