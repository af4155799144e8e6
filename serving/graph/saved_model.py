"""A saved model as TensorFlow Serving runs it: a graph session on the `serve` tag, no Python of ours in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from serving.index.scann_ops import load_scann_ops

_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_JUMPS = {"Switch", "RefSwitch", "Enter", "RefEnter"}


class ServedModel:
    """A loaded version: the definitions of its signatures by name, and how to call them.

    Args:
      path: the version's folder.
      with_scann: whether its graph has ScaNN's ops.
      threads: of one op; 0 are as many as there are cores.
      inter_op: threads for the ops of a call, as many as of one op without it; -1 runs them in the caller's own thread,
        as those of a flat graph always are.
    """

    def __init__(self, path: str, with_scann: bool, threads: int = 0, inter_op: int | None = None) -> None:
        if with_scann:
            load_scann_ops()
        inter_op = threads if inter_op is None else inter_op
        config = config_pb2.ConfigProto(
            intra_op_parallelism_threads=threads,
            inter_op_parallelism_threads=inter_op,
            use_per_session_threads=inter_op > 0,
        )
        config.gpu_options.allow_growth = True
        if _is_flat(path):
            _as_it_stands(config)
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta = tf.compat.v1.saved_model.load(self._session, ["serve"], path)
        except BaseException:
            self.close()
            raise
        self.definitions: dict[str, Any] = {name: meta.signature_def[name] for name in sorted(meta.signature_def)}
        self.signatures = {name: one for name, one in self.definitions.items() if name != "__saved_model_init_op"}

    def call(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """One call with numpy arrays by input name."""
        definition = self.signatures[signature]
        feeds = {definition.inputs[name].name: value for name, value in inputs.items()}
        return self._session.run({name: one.name for name, one in definition.outputs.items()}, feeds)

    def callable(
        self, signature: str, inputs: Sequence[str], outputs: Sequence[str]
    ) -> Callable[..., list[np.ndarray]]:
        """A signature as a function of arrays in this order to arrays in this order: the quickest way to call it."""
        definition = self.signatures[signature]
        options = config_pb2.CallableOptions()
        options.feed.extend(definition.inputs[name].name for name in inputs)
        options.fetch.extend(definition.outputs[name].name for name in outputs)
        return self._session._make_callable_from_options(options)

    def close(self) -> None:
        """Gives the memory back."""
        self._session.close()

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _is_flat(path: str) -> bool:
    """Whether a graph was flattened when it was exported: it has no calls to inline and no jumps."""
    with tf.io.gfile.GFile(f"{path}/saved_model.pb", "rb") as file:
        graph = saved_model_pb2.SavedModel.FromString(file.read()).meta_graphs[0].graph_def
    bodies = (function.node_def for function in graph.library.function)
    return not any(node.op in _CALLS | _JUMPS for nodes in (graph.node, *bodies) for node in nodes)


def _as_it_stands(config: config_pb2.ConfigProto) -> None:
    """Runs a graph without optimising it again, which is most of what loading one costs."""
    options = config.graph_options
    options.rewrite_options.disable_meta_optimizer = True
    options.optimizer_options.opt_level = config_pb2.OptimizerOptions.L0
    config.experimental.optimize_for_static_graph = True  # one copy of it less in memory
    if not tf.config.list_physical_devices("GPU"):  # parts on several devices wait for each other
        config.experimental.executor_type = "SINGLE_THREADED_EXECUTOR"  # a third less for each op
        config.inter_op_parallelism_threads = -1  # in the caller's thread, where a loop's turns do not pile up
        config.use_per_session_threads = False
