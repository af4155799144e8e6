"""Small weights of a tower become constants of the graph; its tables and all others stay variables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from serving.graph.saved_model import ServedModel
from serving.graph.signatures import save

DRAW = np.random.default_rng(3)
MATRIX, TABLE, LARGE, OTHER = (
    DRAW.normal(size=size).astype(np.float32) for size in ([4, 4], [6, 4], [4, 1 << 15], [4, 4])
)


def model() -> tf.Module:
    """With the variables where an export has them: `tower/saved/parameters/`."""
    module = tf.Module()
    module.tower = tf.Module()
    module.tower.saved = tf.Module()
    module.tower.saved.parameters = [tf.Variable(one) for one in (MATRIX, TABLE, LARGE)]
    module.other = tf.Variable(OTHER)
    return module


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    module = model()
    matrix, table, large = module.tower.saved.parameters

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32, "ids")])
    def embed(ids: tf.Tensor) -> dict[str, tf.Tensor]:
        rows = tf.gather(table, ids) @ (matrix @ matrix) @ large
        return {"embedding": rows[:, :4] @ module.other}

    save(module, str(tmp_path), {"embed": embed})
    return tmp_path


def test_the_answers_are_the_same(saved: Path) -> None:
    ids = np.array([5, 0, 2], np.int32)
    with ServedModel(str(saved), with_scann=False) as served:
        found = served.call("embed", {"ids": ids})["embedding"]
    expected = (TABLE[ids] @ MATRIX @ MATRIX @ LARGE)[:, :4] @ OTHER
    assert found == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_what_is_fixed(saved: Path) -> None:
    graph = SavedModel.FromString((saved / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    variables = [node for node in graph.node if node.op == "VarHandleOp"]
    shapes = sorted(tuple(one.size for one in node.attr["shape"].shape.dim) for node in variables)
    assert shapes == [(4, 4), (4, 1 << 15), (6, 4)]  # that of the (4, 4) matrix is the one outside of the tower
    assert sum(node.op == "MatMul" for node in graph.node) == 3  # the square was worked out
    assert sum(node.op == "AssignVariableOp" for node in graph.node) == 3
