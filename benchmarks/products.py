"""The matrix products of a step, forward and backward, by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import tensorflow as tf
from tensorflow.python.framework import op_callbacks  # as TensorFlow's own debugger follows every op

_PRODUCTS = ("MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum")


class Product(NamedTuple):
    """One run of one op."""

    op: str
    shapes: tuple[tuple[int, ...], ...]
    equation: str  # of an Einsum
    transposed: tuple[bool, bool]

    @property
    def multiplications(self) -> int:
        """Of scalars."""
        if self.op == "Einsum":
            letters = self.equation.split("->")[0].split(",")
            sizes = {
                c: n for term, shape in zip(letters, self.shapes, strict=True) for c, n in zip(term, shape, strict=True)
            }
            return _volume(tuple(sizes.values()))
        left, right = self.shapes
        return _volume(left) * (right[-2] if self.transposed[1] else right[-1])

    def of(self, inputs: Sequence[tf.Tensor]) -> tf.Tensor:
        """The product of such matrices."""
        if self.op == "Einsum":
            return tf.raw_ops.Einsum(inputs=list(inputs), equation=self.equation)
        left, right = self.transposed
        if self.op == "MatMul":
            return tf.raw_ops.MatMul(a=inputs[0], b=inputs[1], transpose_a=left, transpose_b=right)
        return tf.raw_ops.BatchMatMulV2(x=inputs[0], y=inputs[1], adj_x=left, adj_y=right)


def record(step: Callable[[Any], Any], batch: Any) -> list[Product]:
    """The products that one step on `batch` really makes, each as often as it runs, with its shapes of that run.

    The step is traced with a note behind each product of the graph, the gradient's and those inside loops
    included; running it once then writes down the shapes, which the graph alone does not know.
    """
    found: list[Product] = []

    def callback(
        op_type: str,
        inputs: Sequence[tf.Tensor],
        attrs: Sequence[Any],
        outputs: Sequence[tf.Tensor],
        op_name: str | None = None,
        graph: tf.Graph | None = None,
    ) -> list[tf.Tensor] | None:
        del op_name
        if op_type not in _PRODUCTS or graph is None:
            return None
        given = dict(zip(attrs[::2], attrs[1::2], strict=True))
        equation = given["equation"].s.decode() if "equation" in given else ""
        left, right = (any(given[n].b for n in names if n in given) for names in _TRANSPOSED)

        def note(*shapes: Any) -> None:
            found.append(Product(op_type, tuple(tuple(s.tolist()) for s in shapes), equation, (left, right)))

        noted = tf.numpy_function(note, [tf.shape(x) for x in inputs], [])
        with tf.control_dependencies([noted]):
            return [tf.identity(outputs[0])]

    op_callbacks.add_op_callback(callback)
    try:
        traced = tf.function(step).get_concrete_function(batch)
    finally:
        op_callbacks.remove_op_callback(callback)
    traced(batch)
    return found


def alone(products: Sequence[Product]) -> Callable[[], None]:
    """Runs them and nothing else, each on random matrices of its own."""
    inputs = [[tf.random.normal(shape) for shape in product.shapes] for product in products]

    @tf.function
    def run(inputs: list[list[tf.Tensor]]) -> tf.Tensor:
        made = [product.of(given) for product, given in zip(products, inputs, strict=True)]
        with tf.control_dependencies(made):
            return tf.constant(0)

    compiled = run.get_concrete_function(inputs)
    flat = tf.nest.flatten(inputs)
    return lambda: compiled(*flat).numpy()


def largest(products: Sequence[Product], count: int) -> list[dict[str, Any]]:
    """The dearest kinds of products by their multiplications."""
    times = Counter(products)
    ranked = sorted(times, key=lambda one: -one.multiplications * times[one])[:count]
    return [
        {"op": p.op, "shapes": p.shapes, "times": times[p], "mega_multiplications": round(p.multiplications / 1e6, 1)}
        for p in ranked
    ]


_TRANSPOSED = (("transpose_a", "adj_x"), ("transpose_b", "adj_y"))


def _volume(shape: tuple[int, ...]) -> int:
    total = 1
    for size in shape:
        total *= size
    return total
