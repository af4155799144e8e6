"""One loaded version of a model: its signatures as callables on a graph session."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from serving.graph.saved_model import ServedModel
from serving.runtime.lanes import Lane
from serving.runtime.model_files import read_bytes
from serving.runtime.status import invalid
from serving.runtime.tensors import dtype_of, to_array, type_name


@dataclass(frozen=True)
class Parallelism:
    """Threads of a session. An inter-op pool of -1 runs the graph in the caller's own thread: no handing over."""

    intra_op: int = 0
    inter_op: int = -1


@dataclass(frozen=True)
class Input:
    """One input of a signature."""

    name: str
    number: int
    shape: tuple[int | None, ...] | None
    default: np.ndarray | None = None  # what a request that leaves it out gets

    def check(self, place: int, proto: Any) -> np.ndarray:
        """The array of a request's tensor, of this type and shape."""
        if proto.dtype != self.number:
            raise invalid(
                f"Expects arg[{place}] to be {type_name(self.number)} but {type_name(proto.dtype)} is provided: "
                f"input {self.name}"
            )
        array = to_array(self.name, proto)
        self.check_shape(array.shape)
        return array

    def check_shape(self, shape: Sequence[int]) -> None:
        """Refuses what the signature's static shape rules out."""
        if self.shape is None:
            return
        fits = len(shape) == len(self.shape) and all(
            wanted is None or wanted == size for wanted, size in zip(self.shape, shape, strict=True)
        )
        if not fits:
            wanted = ["?" if size is None else size for size in self.shape]
            raise invalid(
                f"input {self.name} has shape {list(shape)}, the signature's is [{','.join(map(str, wanted))}]"
            )


@dataclass(frozen=True)
class Signature:
    """A callable of a version: arrays in the order of `inputs` -> arrays in the order of `outputs`."""

    name: str
    inputs: dict[str, Input]
    outputs: tuple[str, ...]
    call: Callable[..., list[np.ndarray]]
    batchable: bool
    definition: Any = field(repr=False)

    @functools.cached_property
    def needed(self) -> frozenset[str]:
        """The inputs that a request cannot leave out."""
        return frozenset(name for name, one in self.inputs.items() if one.default is None)

    @property
    def values_a_row(self) -> int | None:
        """How many values, names and brackets a row has in JSON; None where a list may be of any length."""
        total = 0
        for one in self.inputs.values():
            inner = (one.shape or (None, None))[1:]
            if None in inner:
                return None
            total += 2 + math.prod(size for size in inner if size is not None)
        return total

    @functools.cached_property
    def fixed(self) -> frozenset[str]:
        """The outputs whose rows are as wide whatever k is, such as vectors."""
        shapes = {name: _shape(self.definition.outputs[name]) for name in self.outputs}
        return frozenset(name for name, shape in shapes.items() if shape and None not in shape[1:])

    @functools.cached_property
    def takes_k(self) -> bool:
        """Whether requests say how many answers they want, best first."""
        return "k" in self.inputs

    @functools.cached_property
    def place_of_k(self) -> int:
        """Where k stands among the inputs."""
        return list(self.inputs).index("k")


class Servable:
    """A version in memory. `users` is the manager's count of requests that hold it."""

    def __init__(self, name: str, version: int, path: str, parallelism: Parallelism) -> None:
        self.name, self.version, self.path = name, version, path
        self.users = 0
        with_scann = b"Scann>" in read_bytes(f"{path}/saved_model.pb")
        self._model = ServedModel(path, with_scann, parallelism.intra_op, parallelism.inter_op)
        try:
            self.definitions = self._model.definitions
            self.signatures = {
                name: _signature(self._model, name, one)
                for name, one in self.definitions.items()
                if one.method_name and one.outputs and not name.startswith("__")
            }
        except BaseException:
            self.close()
            raise
        self._lanes = {
            (one.name, bulk): Lane(f"{name}:{one.name}", one.call, one.batchable, bulk)
            for one in self.signatures.values()
            for bulk in (False, True)
        }

    def lane(self, signature: Signature, bulk: bool) -> Lane:
        """Where requests to a signature wait for their batch."""
        return self._lanes[signature.name, bulk]

    @property
    def values_a_row(self) -> int | None:
        """The most values that a row of any signature has in JSON; None where a list may be of any length."""
        sizes = [one.values_a_row for one in self.signatures.values()]
        return None if None in sizes else max((size for size in sizes if size is not None), default=0)

    def close(self) -> None:
        """Gives the memory back; nobody may hold it any more."""
        self._model.close()


def _signature(model: ServedModel, name: str, definition: Any) -> Signature:
    inputs = {one: _input(one, definition) for one in sorted(definition.inputs)}
    outputs = tuple(sorted(definition.outputs))
    # By inputs alone: what an index gives has no static shape. Outputs are looked at when there are any.
    batchable = bool(inputs) and all(one.shape and one.shape[0] is None for one in inputs.values())
    return Signature(name, inputs, outputs, model.callable(name, list(inputs), outputs), batchable, definition)


def _input(name: str, definition: Any) -> Input:
    info = definition.inputs[name]
    dtype_of(info.dtype)
    default = to_array(name, definition.defaults[name]) if name in definition.defaults else None
    return Input(name, info.dtype, _shape(info), default)


def _shape(info: Any) -> tuple[int | None, ...] | None:
    if info.tensor_shape.unknown_rank:
        return None
    return tuple(None if one.size < 0 else one.size for one in info.tensor_shape.dim)
