"""Plays a version's own requests to it before it takes users."""

from __future__ import annotations

import itertools

import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.runtime.predictor import Predictor
from serving.runtime.servable import Servable
from serving.runtime.status import ServingError, code_of

_FILE = "assets.extra/tf_serving_warmup_requests"
_MOST = 1_000  # TensorFlow Serving's own bound
_FAILED_PRECONDITION = 9


def warm_up(predictor: Predictor, servable: Servable) -> int:
    """Answers every predict request of the version's warm-up file; returns how many. A failure is the version's."""
    path = servable.path / _FILE
    if not path.exists():
        return 0
    count = 0
    records = tf.compat.v1.io.tf_record_iterator(str(path))
    for record in itertools.islice(records, _MOST):
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if not log.HasField("predict_log"):
            raise ServingError(code_of(_FAILED_PRECONDITION), f"{path}: only predict requests can be played")
        predictor.play(servable, log.predict_log.request)
        count += 1
    return count
