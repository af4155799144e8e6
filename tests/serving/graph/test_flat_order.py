"""Bodies that compute the same are one, whatever the signatures that they come from call what they hand over."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from preprocessing.text.branches import lazy_cond, lazy_loop
from serving.graph.saved_model import ServedModel
from serving.graph.signatures import save

NUMBERS = {"a": 2, "m": 3, "z": 7}


class Twins(tf.Module):
    """One formula behind signatures whose inputs play each other's parts."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = tf.Variable(5)

    def formula(self, first: tf.Tensor, second: tf.Tensor, third: tf.Tensor) -> tf.Tensor:
        def summed() -> tf.Tensor:
            start = tf.maximum(self.weight * first - second, first)
            return lazy_loop(tf.size(third), 1, lambda _, one: one + (second - third), start)

        return lazy_cond(tf.reduce_sum(first) > 0, summed, lambda: third - second)

    def traced(self, order: str) -> object:
        specs = {name: tf.TensorSpec([1], tf.int32, name) for name in order}
        call = tf.function(lambda **inputs: {"found": self.formula(*(inputs[name] for name in order))})
        return call.get_concrete_function(**specs)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Both signatures in one flat graph."""
    path, module = tmp_path_factory.mktemp("twins"), Twins()
    save(module, str(path), {order: module.traced(order) for order in ("amz", "zma", "maz")})
    return path


def test_equal_bodies_are_one(folder: Path) -> None:
    graph = SavedModel.FromString((folder / "saved_model.pb").read_bytes()).meta_graphs[0].graph_def
    assert len(graph.library.function) == 4  # two sides, and a loop's question and body


@pytest.mark.parametrize("order", ["amz", "zma", "maz"])
@pytest.mark.parametrize("sign", [1, -1])
def test_each_is_handed_its_own(folder: Path, order: str, sign: int) -> None:
    numbers = {name: sign * number for name, number in NUMBERS.items()}
    first, second, third = (numbers[name] for name in order)
    expected = max(5 * first - second, first) + second - third if first > 0 else third - second
    with ServedModel(str(folder), False) as model:
        found = model.call(order, {name: np.array([number], np.int32) for name, number in numbers.items()})
    assert found["found"].tolist() == [expected]
