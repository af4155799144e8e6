"""What a server was asked, beside what records say that people ask: `PredictionLog` records of its requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from preprocessing.between_days.divergence import Values
from preprocessing.between_days.sample_records import Sample, Words, files_of
from preprocessing.command.console import UserError
from preprocessing.data.features import HORIZONS
from preprocessing.text.vocabulary_files import Vocabularies

FLAG = "--served"
_QUERY = "query"
# A request's lists, by what records call them; of a past how much there is of it is compared, and nothing else.
_LISTS = {"history_word": "history_queries"} | {f"{horizon}_item": f"{horizon}_items" for horizon in HORIZONS}

Inputs = Mapping[str, Any]  # name -> TensorProto


def served_sample(
    pattern: str, folder: str, spec: Mapping[str, Any], words: Mapping[str, Words], records: int, seed: int
) -> Sample:
    """So many requests, by the vocabularies of a data folder: the first of some of the files."""
    queries, lengths = _asked(pattern, records, seed)
    if not queries:
        raise UserError(f"{FLAG} {pattern}: no request in it has a {_QUERY!r}")
    owners, grains = np.arange(len(queries)), spec["text"]["query_grains"]
    encoded = Vocabularies(f"{folder}/vocab", spec, grains).encoded(tf.constant(queries), grains)
    values, uses = {_QUERY: Values(pa.array(queries, pa.binary()), owners)}, {}
    for grain, padded in encoded.items():
        ids = padded.numpy()
        lengths[f"query_{grain}"] = (ids > 0).sum(axis=1)
        places = words[grain].places(ids[ids > 0])
        uses[grain] = np.bincount(places, minlength=len(words[grain].labels))
        if grain == "word":
            whose = np.repeat(owners, lengths["query_word"])
            values[grain] = Values(words[grain].labels.take(pa.array(places)), whose)
    empty = {name: float(np.mean(one == 0)) for name, one in lengths.items()}
    empty[_QUERY] = float(np.mean([not query for query in queries]))
    return Sample(len(queries), len(queries), values, uses, lengths, empty)


def _asked(pattern: str, records: int, seed: int) -> tuple[list[bytes], dict[str, np.ndarray]]:
    """The queries, and the length of each list that any request has."""
    queries: list[bytes] = []
    lengths: dict[str, list[int]] = {name: [] for name in _LISTS}
    there: set[str] = set()
    for inputs in _requests(pattern, records, seed):
        asked = tf.make_ndarray(inputs[_QUERY]).reshape(-1).tolist()
        queries += asked
        for name, of_request in _LISTS.items():
            there |= {name} if of_request in inputs else set()
            lengths[name] += _filled(inputs, of_request, len(asked))
    return queries, {name: np.array(lengths[name]) for name in _LISTS if name in there}


def _filled(inputs: Inputs, name: str, rows: int) -> list[int]:
    """Of each row how many strings there are but padding."""
    if name not in inputs:
        return [0] * rows
    return [int(count) for count in (tf.make_ndarray(inputs[name]).reshape(rows, -1) != b"").sum(axis=1)]


def _requests(pattern: str, records: int, seed: int) -> Iterator[Inputs]:
    """Those that name a query."""
    files = files_of(pattern, seed)
    if not files:
        raise UserError(f"{FLAG}: no file matches {pattern}")
    for path in files:
        zipped = "GZIP" if path.endswith(".gz") else ""
        try:
            for record in tf.data.TFRecordDataset(path, zipped).take(-(-records // len(files))).as_numpy_iterator():
                inputs = PredictionLog.FromString(record).predict_log.request.inputs
                if _QUERY in inputs:
                    yield inputs
        except (tf.errors.DataLossError, DecodeError):
            raise UserError(f"{FLAG} {path}: no TFRecord file of PredictionLog records") from None
