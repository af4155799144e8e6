"""TensorFlow Serving's config files, as text protos: which models are served and how, batching, TLS, monitoring."""

from __future__ import annotations

import dataclasses
import itertools
import ssl
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from tensorflow_serving.config import file_system_storage_path_source_pb2 as source_pb2
from tensorflow_serving.config import model_server_config_pb2

from preprocessing.command.console import UserError
from serving.runtime.batching import BatchingLimits
from serving.runtime.model_files import StrPath
from serving.runtime.prometheus import DEFAULT_PATH

VersionPolicy = source_pb2.FileSystemStoragePathSourceConfig.ServableVersionPolicy
_FIELD = descriptor_pb2.FieldDescriptorProto
_WRAPPED_INT, _WRAPPED_BOOL, _PROMETHEUS = ".config.Int64Value", ".config.BoolValue", ".config.PrometheusConfig"
_ALLOWED = "allowed_batch_sizes"
# The messages that the wheel does not ship, then their fields: (name, number, type or message).
_MESSAGES: dict[str, list[tuple[str, int, int | str]]] = {
    "Int64Value": [("value", 1, _FIELD.TYPE_INT64)],
    "BoolValue": [("value", 1, _FIELD.TYPE_BOOL)],
    "BatchingParameters": [
        ("max_batch_size", 1, _WRAPPED_INT),
        ("batch_timeout_micros", 2, _WRAPPED_INT),
        ("max_enqueued_batches", 3, _WRAPPED_INT),
        ("num_batch_threads", 4, _WRAPPED_INT),
        (_ALLOWED, 6, _FIELD.TYPE_INT64),
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


@dataclass(frozen=True)
class ModelConfig:
    """One model: its folder, the versions wanted and what they are also called."""

    name: str
    base_path: StrPath
    latest: int = 1  # how many of the newest; 0 takes all
    specific: tuple[int, ...] = ()  # these alone, where given
    labels: dict[str, int] = field(default_factory=dict)

    def wanted(self, versions: Iterable[int]) -> list[int]:
        """Of the versions that are there, those to serve, ascending."""
        there = sorted(versions)
        if self.specific:
            return [version for version in there if version in self.specific]
        return there[-self.latest :] if self.latest else there


def models_of(config: Any) -> list[ModelConfig]:
    """The models of a `ModelServerConfig` message; a mistake in it is a `UserError`."""
    if config.WhichOneof("config") != "model_config_list":
        raise UserError("the model config has no model_config_list")
    models = [_model(one) for one in config.model_config_list.config]
    names = [one.name for one in models]
    if len(set(names)) != len(names):
        raise UserError(f"the model config names a model twice: {', '.join(sorted(names))}")
    return models


def _model(config: Any) -> ModelConfig:
    if not config.name or not config.base_path:
        raise UserError("the model config has a model without name or base_path")
    if config.model_platform not in ("", "tensorflow"):
        raise UserError(f"model {config.name}: model_platform {config.model_platform!r}; only tensorflow is served")
    base = config.base_path.rstrip("/")
    if "://" not in base and not Path(base).is_absolute():
        raise UserError(f"model {config.name}: base_path {config.base_path} must be absolute")
    policy: Any = config.model_version_policy
    choice = policy.WhichOneof("policy_choice")
    latest, specific = 1, ()
    if choice == "all":
        latest = 0
    elif choice == "specific":
        specific = tuple(policy.specific.versions)
        if not specific:
            raise UserError(f"model {config.name}: model_version_policy specific names no version")
    elif choice == "latest":
        latest = policy.latest.num_versions or 1
    return ModelConfig(config.name, base, latest, specific, dict(config.version_labels))


def read_models(path: str) -> list[ModelConfig]:
    """The models of a `--model_config_file`."""
    config = model_server_config_pb2.ModelServerConfig()
    try:
        text_format.Parse(Path(path).read_text(encoding="utf-8"), config)
    except OSError as error:
        raise UserError(f"--model_config_file {path} cannot be read: {error.strerror}") from None
    except (text_format.ParseError, UnicodeDecodeError) as error:
        raise UserError(f"--model_config_file {path}: {error}") from None
    return models_of(config)


def read_batching(path: str, limits: BatchingLimits) -> BatchingLimits:
    """The limits of a `--batching_parameters_file`, those given for what it leaves out."""
    config = _read("--batching_parameters_file", path, "BatchingParameters")
    given = {one.name: value.value for one, value in config.ListFields() if one.name != _ALLOWED}
    for name, value in given.items():
        if value < (0 if name == "batch_timeout_micros" else 1):
            raise UserError(f"--batching_parameters_file {path}: {name} is {value}")
    limits = dataclasses.replace(limits, **given, allowed_batch_sizes=tuple(config.allowed_batch_sizes))
    _check_allowed(path, limits)
    return limits


def _check_allowed(path: str, limits: BatchingLimits) -> None:
    sizes = limits.allowed_batch_sizes
    if any(after <= before for before, after in itertools.pairwise((0, *sizes))):
        raise UserError(f"--batching_parameters_file {path}: {_ALLOWED} must be positive and increase: {list(sizes)}")
    if sizes and sizes[-1] != limits.max_batch_size:
        raise UserError(
            f"--batching_parameters_file {path}: Last entry in {_ALLOWED} must match max_batch_size; last entry was "
            f"{sizes[-1]}; expected {limits.max_batch_size}"
        )


def read_credentials(path: str) -> grpc.ServerCredentials:
    """TLS, and mutual TLS where the config verifies clients."""
    config = _read("--ssl_config_file", path, "SSLConfig")
    if not config.server_key or not config.server_cert:
        raise UserError(f"--ssl_config_file {path}: server_key and server_cert (PEM text) are needed")
    if config.client_verify and not config.custom_ca:
        raise UserError(f"--ssl_config_file {path}: client_verify needs custom_ca, who signs the clients' certificates")
    _check_pem(path, config)
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None,
        config.client_verify,
    )


def _check_pem(path: str, config: Any) -> None:
    """gRPC says of a bad key or certificate only that the port cannot be taken."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        if config.custom_ca:
            context.load_verify_locations(cadata=config.custom_ca)
    except (ssl.SSLError, ValueError) as error:
        raise UserError(f"--ssl_config_file {path}: custom_ca is no certificate in PEM ({error})") from None
    with tempfile.TemporaryDirectory() as folder:
        cert, key = Path(folder, "cert.pem"), Path(folder, "key.pem")
        cert.write_text(config.server_cert)
        key.write_text(config.server_key)
        try:
            context.load_cert_chain(cert, key, password=lambda: "")  # a locked key is an error, not a question
        except (ssl.SSLError, ValueError) as error:
            raise UserError(
                f"--ssl_config_file {path}: server_key and server_cert are no key and its certificate in PEM ({error})"
            ) from None


def read_metrics_path(path: str) -> str | None:
    """Where a `--monitoring_config_file` wants the metrics; None where it turns them off."""
    config = _read("--monitoring_config_file", path, "MonitoringConfig").prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None


def read_channel_arguments(text: str) -> tuple[tuple[str, str | int], ...]:
    """`--grpc_channel_arguments`: `key=value,key=value`; whole numbers are numbers."""
    pairs: list[tuple[str, str | int]] = []
    for one in filter(None, text.split(",")):
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise UserError(f"--grpc_channel_arguments {one}: key=value")
        pairs.append((key, int(value) if value.lstrip("-").isdecimal() else value))
    return tuple(pairs)


def _build() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(name="serving_configs.proto", package="config", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for label, number, kind in fields:
            many = _FIELD.LABEL_REPEATED if label == _ALLOWED else _FIELD.LABEL_OPTIONAL
            one = message.field.add(name=label, number=number, label=many)
            if isinstance(kind, str):
                one.type, one.type_name = _FIELD.TYPE_MESSAGE, kind
            else:
                one.type = kind
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"config.{name}")) for name in _MESSAGES}


_CLASSES = _build()


def _read(flag: str, path: str, message: str) -> Any:
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
