"""TensorFlow Serving's config files whose messages its wheel does not ship: batching, TLS, monitoring."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format

from preprocessing.command.console import UserError

_FIELD = descriptor_pb2.FieldDescriptorProto
_WRAPPED_INT, _WRAPPED_BOOL, _PROMETHEUS = ".config.Int64Value", ".config.BoolValue", ".config.PrometheusConfig"
# Message, then its fields: (name, number, type or message).
_MESSAGES: dict[str, list[tuple[str, int, int | str]]] = {
    "Int64Value": [("value", 1, _FIELD.TYPE_INT64)],
    "BoolValue": [("value", 1, _FIELD.TYPE_BOOL)],
    "BatchingParameters": [
        ("max_batch_size", 1, _WRAPPED_INT),
        ("batch_timeout_micros", 2, _WRAPPED_INT),
        ("max_enqueued_batches", 3, _WRAPPED_INT),
        ("num_batch_threads", 4, _WRAPPED_INT),
    ],
    "SSLConfig": [
        ("server_key", 1, _FIELD.TYPE_STRING),
        ("server_cert", 2, _FIELD.TYPE_STRING),
        ("custom_ca", 3, _FIELD.TYPE_STRING),
        ("client_verify", 4, _FIELD.TYPE_BOOL),
    ],
    "PrometheusConfig": [("enable", 1, _FIELD.TYPE_BOOL), ("path", 2, _FIELD.TYPE_STRING)],
    "MonitoringConfig": [("prometheus_config", 1, _PROMETHEUS)],
}


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="serving_configs.proto", package="config", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind in fields:
            one = message.field.add(name=field, number=number, label=_FIELD.LABEL_OPTIONAL)
            if isinstance(kind, str):
                one.type, one.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                one.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"config.{name}")) for name in _MESSAGES}


_CLASSES = _build()


def read_config(flag: str, path: str, message: str) -> Any:
    """The message in a text file; an unknown field is named, never skipped."""
    config = _CLASSES[message]()
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), config)
    except OSError as error:
        raise UserError(f"{flag} {path} cannot be read: {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        fields = ", ".join(field[0] for field in _MESSAGES[message])
        raise UserError(f"{flag} {path}: {error} (served here: {fields})") from None
    return config
