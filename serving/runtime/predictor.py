"""A PredictRequest to its PredictResponse: the path that gRPC, REST and the warm-up share."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_log_pb2

from serving.runtime.batching import Batcher
from serving.runtime.lanes import Lane, Task
from serving.runtime.manager import Manager
from serving.runtime.model_files import exists
from serving.runtime.prometheus import Metrics
from serving.runtime.request_log import RequestLog
from serving.runtime.servable import Servable, Signature
from serving.runtime.status import ServingError, code_of, exhausted, invalid
from serving.runtime.tensors import fill_proto

_DEFAULT_SIGNATURE = "serving_default"
_FAILED_PRECONDITION = 9
_WARM_UP_FILE = "assets.extra/tf_serving_warmup_requests"
_MOST_PLAYED = 1_000  # of its requests: TensorFlow Serving's own bound
_LARGE = 65_536  # values of an answer that take milliseconds to write, which others should not wait for


@dataclass(frozen=True)
class RequestLimits:
    """What one request may ask, and how many may ask at a time."""

    max_k: int = 10_000
    max_rows: int = 4_096
    max_concurrency: int = 256


class Admission:
    """A bound on concurrent requests; one more is refused at once instead of waiting."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._lock = threading.Lock()
        self.inside = 0

    def __enter__(self) -> None:
        with self._lock:
            if self.inside >= self._most:
                raise exhausted(f"{self._most} requests are being answered, no more are taken at a time")
            self.inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self.inside -= 1


class Predictor:
    """Answers requests by the manager's versions, in batches."""

    def __init__(
        self,
        manager: Manager,
        batcher: Batcher,
        limits: RequestLimits,
        metrics: Metrics,
        request_log: RequestLog | None = None,
    ) -> None:
        self._manager, self._batcher, self._limits, self._metrics = manager, batcher, limits, metrics
        self._request_log = request_log

    async def predict(self, request: Any, timeout: float | None) -> bytes:
        """The answer's bytes, within `timeout` seconds; refusals are `ServingError`."""
        if not request.HasField("model_spec"):
            raise invalid("Missing ModelSpec")
        with self._manager.use(request.model_spec) as servable:
            signature, wanted, arrays = _read(servable, request)
            answer = await self.answer(servable, signature, arrays, timeout)
            if sum(array.size for array in answer.values()) > _LARGE:
                return await asyncio.to_thread(_written, servable, signature, wanted, answer)
            return _written(servable, signature, wanted, answer)

    async def answer(
        self, servable: Servable, signature: Signature, arrays: list[np.ndarray], timeout: float | None
    ) -> dict[str, np.ndarray]:
        """As `run`, in an event loop."""
        task = self._task(signature, arrays, timeout)
        if self._request_log is not None:
            self._request_log.note(servable, signature, arrays)
        outputs = await self._batcher.answer(self._lane(servable, signature, task), task)
        return self._answer(servable, signature, task, outputs)

    def warm_up(self, servable: Servable) -> None:
        """Plays a version's own requests to it before it takes users; one that fails is the version's failure."""
        path = f"{servable.path}/{_WARM_UP_FILE}"
        records = tf.compat.v1.io.tf_record_iterator(path) if exists(path) else ()
        for record in itertools.islice(records, _MOST_PLAYED):
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if not log.HasField("predict_log"):
                raise ServingError(code_of(_FAILED_PRECONDITION), f"{path}: only predict requests can be played")
            signature, _, arrays = _read(servable, log.predict_log.request)
            self.run(servable, signature, arrays, None)

    def run(
        self, servable: Servable, signature: Signature, arrays: list[np.ndarray], timeout: float | None
    ) -> dict[str, np.ndarray]:
        """The outputs by name, for inputs in the signature's order."""
        task = self._task(signature, arrays, timeout)
        return self._answer(servable, signature, task, self._batcher.run(self._lane(servable, signature, task), task))

    def _task(self, signature: Signature, arrays: list[np.ndarray], timeout: float | None) -> Task:
        rows = _rows(signature, arrays)
        if rows > self._limits.max_rows:
            raise invalid(f"{rows} rows in one request, at most {self._limits.max_rows} are taken")
        self._check_k(signature, arrays)
        return Task(arrays, rows, timeout)

    def _lane(self, servable: Servable, signature: Signature, task: Task) -> Lane:
        return servable.lane(signature, task.rows > self._batcher.limits.bulk)

    def _answer(
        self, servable: Servable, signature: Signature, task: Task, outputs: Sequence[np.ndarray]
    ) -> dict[str, np.ndarray]:
        """A task's outputs by name, as wide as it asked: neighbours in its batch must not make its answer wider."""
        spent = time.monotonic() - task.queued
        self._metrics.runtime_latency(servable.name, "Predict", "TF1").observe(spent * 1e6)
        self._metrics.examples(servable.name).observe(task.rows)
        width = int(task.arrays[signature.place_of_k].max(initial=0)) if signature.takes_k else None
        found = zip(signature.outputs, outputs, strict=True)
        return {name: array if name in signature.fixed else _cut(array, width) for name, array in found}

    @property
    def max_rows(self) -> int:
        """Queries in one request."""
        return self._limits.max_rows

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

    def _check_k(self, signature: Signature, arrays: list[np.ndarray]) -> None:
        if not signature.takes_k:
            return
        k = arrays[signature.place_of_k]
        if k.max(initial=0) > self._limits.max_k:
            raise invalid(f"k is {int(k.max())}, at most {self._limits.max_k} is served")
        if k.min(initial=0) < 0:
            raise invalid(f"k is {int(k.min())}, it must not be negative")


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


def _read(servable: Servable, request: Any) -> tuple[Signature, list[str], list[np.ndarray]]:
    """What a request asks for, of which outputs, with which inputs."""
    signature = signature_of(servable, request.model_spec.signature_name)
    return signature, wanted_outputs(signature, request.output_filter), _arrays(signature, request.inputs)


def _written(servable: Servable, signature: Signature, wanted: list[str], answer: dict[str, np.ndarray]) -> bytes:
    response = predict_pb2.PredictResponse()
    spec = response.model_spec
    spec.name, spec.signature_name, spec.version.value = servable.name, signature.name, servable.version
    for name in wanted:
        fill_proto(response.outputs[name], answer[name])
    return response.SerializeToString()


def _arrays(signature: Signature, inputs: Any) -> list[np.ndarray]:
    sent, needed = set(inputs), signature.needed
    if not len(needed) <= len(sent) <= len(signature.inputs):
        raise _size_mismatch(signature, sent)
    wrong = sorted(sent - signature.inputs.keys()) or sorted(needed - sent)
    if wrong:
        raise invalid(
            f"input tensor alias not found in signature: {wrong[0]}. Inputs expected to be in the set "
            f"{{{','.join(signature.inputs)}}}."
        )
    arrays = []
    for place, (name, one) in enumerate(signature.inputs.items()):
        arrays.append(one.check(place, inputs[name]) if name in sent or one.default is None else one.default)
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
