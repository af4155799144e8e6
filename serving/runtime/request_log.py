"""A share of the requests written down as TensorFlow Serving's `PredictionLog`, to be compared with the records."""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog

from preprocessing.command.console import UserError
from serving.inputs import SIGNAL_LISTS, VECTOR_LISTS
from serving.runtime.servable import Servable, Signature

_LOG = logging.getLogger("serving")
_A_FILE = 10_000  # requests
_PASTS = {*VECTOR_LISTS, *SIGNAL_LISTS.values()}  # what tells of one person


@dataclass(frozen=True)
class RequestLogSettings:
    """Where requests go, how many of them, and whether with the pasts of those who ask."""

    folder: str
    share: float = 0.01
    pasts: bool = False


class RequestLog:
    """Files of requests in a folder, each with its name once it is whole; a full disk costs the log, not an answer."""

    def __init__(self, settings: RequestLogSettings) -> None:
        self._settings = settings
        self._chance = random.Random()
        self._lock = threading.Lock()
        self._writer: tf.io.TFRecordWriter | None = None
        self._path, self._written, self._files, self._broken = "", 0, 0, False
        try:
            os.makedirs(settings.folder, exist_ok=True)
        except OSError as error:
            raise UserError(f"--request_log {settings.folder} cannot be written: {error.strerror}") from None

    def note(self, servable: Servable, signature: Signature, arrays: list[np.ndarray]) -> None:
        """Writes a request down, if chance has it."""
        if self._chance.random() >= self._settings.share or self._broken:
            return
        record = self._record(servable, signature, arrays)
        with self._lock:
            try:
                self._write(record)
            except (OSError, tf.errors.OpError) as error:
                self._broken = True
                _LOG.error("--request_log %s: no more requests are written: %s", self._settings.folder, error)

    def close(self) -> None:
        """Gives the last file its name."""
        with self._lock:
            if self._writer is not None and not self._broken:
                self._place()

    def _record(self, servable: Servable, signature: Signature, arrays: list[np.ndarray]) -> bytes:
        log = PredictionLog()
        request: Any = log.predict_log.request
        request.model_spec.name, request.model_spec.signature_name = servable.name, signature.name
        request.model_spec.version.value = servable.version
        for name, array in zip(signature.inputs, arrays, strict=True):
            if self._settings.pasts or name not in _PASTS:
                request.inputs[name].CopyFrom(tf.make_tensor_proto(array))
        return bytes(log.SerializeToString())

    def _write(self, record: bytes) -> None:
        if self._writer is None:
            self._files += 1
            name = f"requests-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{os.getpid()}-{self._files}.tfrecord"
            self._path, self._written = os.path.join(self._settings.folder, name), 0
            self._writer = tf.io.TFRecordWriter(f"{self._path}.part")
        self._writer.write(record)
        self._written += 1
        if self._written == _A_FILE:
            self._place()

    def _place(self) -> None:
        assert self._writer is not None
        self._writer.close()
        self._writer = None
        os.replace(f"{self._path}.part", self._path)
