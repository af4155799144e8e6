"""A PredictRequest to its PredictResponse: the path that gRPC, REST and the warm-up share."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2

from serving.runtime.batching import Batcher, Task
from serving.runtime.errors import ServingError, code_of, invalid
from serving.runtime.manager import Manager
from serving.runtime.metrics import Metrics
from serving.runtime.servable import Servable, Signature
from serving.runtime.tensors import fill_proto
from serving.runtime.turns import Turns

_DEFAULT_SIGNATURE = "serving_default"
_FAILED_PRECONDITION = 9
_AT_WORK = 2  # threads: one has the interpreter, one is ready to take it over


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask, and how many may ask at a time."""

    max_k: int = 10_000
    max_rows: int = 4_096
    max_concurrency: int = 256


def always() -> bool:
    """Of a caller that does not go away."""
    return True


class Predictor:
    """Answers requests by the manager's versions, in batches."""

    def __init__(self, manager: Manager, batcher: Batcher, limits: RequestLimits, metrics: Metrics) -> None:
        self._manager, self._batcher, self._limits, self._metrics = manager, batcher, limits, metrics
        self._turns = Turns(_AT_WORK)

    def predict(
        self, request: Any, timeout: float | None = None, alive: Callable[[], bool] = always
    ) -> predict_pb2.PredictResponse:
        """The answer; refusals are `ServingError`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        with self._manager.use(request.model_spec) as servable:
            return self.answer(servable, request, timeout, alive)

    def answer(
        self, servable: Servable, request: Any, timeout: float | None = None, alive: Callable[[], bool] = always
    ) -> predict_pb2.PredictResponse:
        """The answer of a version that is held already."""
        with self._turns:
            signature = signature_of(servable, request.model_spec.signature_name)
            wanted = wanted_outputs(signature, request.output_filter)
            arrays = _arrays(signature, request.inputs)
        outputs = self.run(servable, signature, arrays, timeout, alive)
        with self._turns:
            response = predict_pb2.PredictResponse()
            spec = response.model_spec
            spec.name, spec.signature_name, spec.version.value = servable.name, signature.name, servable.version
            for name, array in outputs.items():
                if name in wanted:
                    fill_proto(response.outputs[name], array)
            return response

    def run(
        self,
        servable: Servable,
        signature: Signature,
        arrays: list[np.ndarray],
        timeout: float | None,
        alive: Callable[[], bool] = always,
    ) -> dict[str, np.ndarray]:
        """The outputs by name, for inputs in the signature's order."""
        rows = _rows(signature, arrays)
        if rows > self._limits.max_rows:
            raise invalid(f"{rows} rows in one request, at most {self._limits.max_rows} are taken")
        width = self._width(signature, arrays)
        started = time.monotonic()
        outputs = self._batcher.run(servable.lanes[signature.name], Task(arrays, rows, alive), timeout)
        self._metrics.runtime_latency.add((time.monotonic() - started) * 1e6, servable.name, "Predict", "TF1")
        self._metrics.examples.add(rows, servable.name)
        return {name: _cut(array, width) for name, array in zip(signature.outputs, outputs, strict=True)}

    def label(self, name: str) -> str:
        """What a model is called in metrics."""
        return self._manager.known(name)

    def use(self, spec: Any) -> contextlib.AbstractContextManager[Servable]:
        """Holds a version, for those who turn other formats into arrays."""
        return self._manager.use(spec)

    def metadata(self, request: Any) -> get_model_metadata_pb2.GetModelMetadataResponse:
        """The signatures of a version."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        if not request.metadata_field:
            raise invalid("GetModelMetadataRequest must specify at least one metadata_field")
        for name in request.metadata_field:
            if name != "signature_def":
                raise invalid(f"Metadata field {name} is not supported")
        response = get_model_metadata_pb2.GetModelMetadataResponse()
        signatures = get_model_metadata_pb2.SignatureDefMap()
        with self._manager.use(request.model_spec) as servable:
            for name, definition in servable.definitions.items():
                signatures.signature_def[name].CopyFrom(definition)
            response.model_spec.name = servable.name
            response.model_spec.version.value = servable.version
        response.metadata["signature_def"].Pack(signatures)
        return response

    def _width(self, signature: Signature, arrays: list[np.ndarray]) -> int | None:
        """The largest k of the request: neighbours in its batch must not make its answer wider."""
        if not signature.takes_k:
            return None
        k = arrays[list(signature.inputs).index("k")]
        width = int(k.max(initial=0))
        if width > self._limits.max_k:
            raise invalid(f"k is {width}, at most {self._limits.max_k} is served")
        if k.min(initial=0) < 0:
            raise invalid(f"k is {int(k.min())}, it must not be negative")
        return width


def signature_of(servable: Servable, name: str) -> Signature:
    """A version's signature."""
    name = name or _DEFAULT_SIGNATURE
    found = servable.signatures.get(name)
    if found is None:
        raise ServingError(code_of(_FAILED_PRECONDITION), f'Serving signature key "{name}" not found.')
    return found


def wanted_outputs(signature: Signature, output_filter: Any) -> list[str]:
    """The outputs that a request asks for, all without a filter."""
    wanted = list(output_filter)
    for name in wanted:
        if name not in signature.outputs:
            raise invalid(
                f"output tensor alias not found in signature: {name} Outputs expected to be in the set "
                f"{{{','.join(signature.outputs)}}}."
            )
    if len(set(wanted)) != len(wanted):
        raise invalid(f"duplicate output tensor alias: {next(name for name in wanted if wanted.count(name) > 1)}")
    return wanted or list(signature.outputs)


def _arrays(signature: Signature, inputs: Any) -> list[np.ndarray]:
    if len(inputs) != len(signature.inputs):
        raise _size_mismatch(signature, set(inputs))
    arrays = []
    for place, (name, one) in enumerate(signature.inputs.items()):
        if name not in inputs:
            extra = sorted(set(inputs) - set(signature.inputs))
            raise invalid(
                f"input tensor alias not found in signature: {extra[0]}. Inputs expected to be in the set "
                f"{{{','.join(signature.inputs)}}}."
            )
        arrays.append(one.check(place, inputs[name]))
    return arrays


def _rows(signature: Signature, arrays: list[np.ndarray]) -> int:
    if not signature.batchable:
        return 1
    rows = {array.shape[0] for array in arrays}
    if len(rows) > 1:
        sizes = ", ".join(f"{name}: {one.shape[0]}" for name, one in zip(signature.inputs, arrays, strict=True))
        raise invalid(f"the inputs differ in their first dimension, the batch: {sizes}")
    return rows.pop()


def _cut(array: np.ndarray, width: int | None) -> np.ndarray:
    """The `[rows, width]` best: a batch's answers are as wide as its largest k."""
    return array[:, :width] if width is not None and array.ndim == 2 and array.shape[1] > width else array


def _size_mismatch(signature: Signature, sent: set[str]) -> ServingError:
    expected = set(signature.inputs)
    return invalid(
        f"input size does not match signature: {len(sent)}!={len(expected)} len({{{','.join(sorted(sent))}}}) != "
        f"len({{{','.join(sorted(expected))}}}). Sent extra: {{{','.join(sorted(sent - expected))}}}. "
        f"Missing but required: {{{','.join(sorted(expected - sent))}}}."
    )
