"""Beam's RunInference over the exported SavedModel: loaded once a worker process, called in batches of Beam's size."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from apache_beam.ml.inference.base import ModelHandler

from serving.batch.rows import LISTS, Row
from serving.batch.steps import Refused
from serving.batch.tables import Record
from serving.features import FILTER_LISTS, ITEM_INPUTS

Example = tuple[int, Row]  # (shard, row)
Answered = tuple[int, Record | Refused]


@dataclasses.dataclass(frozen=True)
class SavedModel:
    """Where a model lies, and which of its signatures is called."""

    path: str
    signature: str
    scann: bool = False


class SavedModelHandler(ModelHandler[Example, Answered, Any]):
    """Calls one signature as TensorFlow Serving does: a graph session on the `serve` tag."""

    def __init__(self, model: SavedModel, max_batch: int) -> None:
        super().__init__(min_batch_size=min(32, max_batch), max_batch_size=max_batch)
        self._model = model

    def load_model(self) -> Any:
        from serving.session import ServedModel  # TensorFlow comes with it: the launcher starts without

        return ServedModel(self._model.path, self._model.scann)

    def get_num_bytes(self, batch: Sequence[Example]) -> int:
        """Of the texts; Beam's own way writes every batch out to see how long it is."""
        return sum(len(value) for _, row in batch for value in row.values if isinstance(value, str))


class ItemEmbedder(SavedModelHandler):
    """Items -> `(item_id, content hash, vector [dim])`."""

    def run_inference(
        self, batch: Sequence[Example], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Answered]:
        columns = zip(*(row.values for _, row in batch), strict=True)
        inputs = {name: _strings(column) for name, column in zip(ITEM_INPUTS, columns, strict=True)}
        vectors = model.call(self._model.signature, inputs)["embedding"]
        finite = np.isfinite(vectors).all(axis=1)
        for (shard, row), vector, good in zip(batch, vectors, finite, strict=True):
            yield shard, (row.id, row.content, vector) if good else Refused("vector is not finite", row)


class ModelRetriever(SavedModelHandler):
    """Queries -> `(request_id, content hash, query, item ids, scores)`."""

    def run_inference(
        self, batch: Sequence[Example], model: Any, inference_args: dict[str, Any] | None = None
    ) -> Iterable[Answered]:
        shapes = model.signatures[self._model.signature].inputs
        widths = {name: shapes[name].tensor_shape.dim[1].size for name in LISTS}
        inputs: dict[str, np.ndarray] = {
            "query": _strings([row.values[0] for _, row in batch]),
            "k": np.array([row.values[1] for _, row in batch], np.int32),
        }
        for place, name in enumerate(LISTS):
            inputs[name] = _padded([row.values[2][place] for _, row in batch], widths[name])
        found = model.call(self._model.signature, inputs)
        for (shard, row), ids, scores in zip(batch, found["item_ids"], found["scores"], strict=True):
            too_wide = _too_wide(row, widths)
            yield shard, Refused(too_wide, row) if too_wide else _answer(row, ids, scores)


def _answer(row: Row, ids: np.ndarray, scores: np.ndarray) -> Record:
    query, k, _ = row.values
    count = int((ids[:k] != b"").sum())  # behind the answers there is padding alone
    return row.id, row.content, query, [one.decode() for one in ids[:count].tolist()], scores[:count].tolist()


def _too_wide(row: Row, widths: dict[str, int]) -> str | None:
    """A condition must not be cut: the answer would be another."""
    for name, values in zip(LISTS, row.values[2], strict=True):
        if name in FILTER_LISTS and len(values) > widths[name]:
            return f"{name}: {len(values)} given, this model takes {widths[name]}"
    return None


def _strings(values: Iterable[str]) -> np.ndarray:
    return np.array([value.encode() for value in values], object)


def _padded(rows: Sequence[tuple[str, ...]], width: int) -> np.ndarray:
    padded = np.full((len(rows), width), b"", object)
    for row, values in enumerate(rows):
        for place, value in enumerate(values[:width]):
            padded[row, place] = value.encode()
    return padded
