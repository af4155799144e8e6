"""Flags and config files to a server's settings; every mistake is named before anything is loaded."""

from __future__ import annotations

import argparse
import dataclasses
import os
from pathlib import Path

import grpc

from preprocessing.command.console import UserError
from serving.runtime.batching import BatchingLimits
from serving.runtime.grpc_server import Settings
from serving.runtime.metrics import DEFAULT_PATH
from serving.runtime.model_config import ModelConfig, read_models
from serving.runtime.predictor import RequestLimits
from serving.runtime.rest import RestSettings
from serving.runtime.servable import Parallelism
from serving.runtime.server_flags import check_paths
from serving.runtime.text_configs import read_config

_POSITIVE = ("max_k", "max_request_rows", "max_request_bytes", "max_concurrency", "rest_api_timeout_in_ms")


def settings_of(flags: argparse.Namespace) -> Settings:
    """What the flags ask for."""
    for name in _POSITIVE:
        if getattr(flags, name) < 1:
            raise UserError(f"--{name} {getattr(flags, name)}: at least 1")
    for name in ("port", "rest_api_port"):
        if not 0 <= (getattr(flags, name) or 0) <= 65_535:
            raise UserError(f"--{name} {getattr(flags, name)}: 0 to 65535")
    return Settings(
        models=models(flags),
        address=f"{flags.host}:{flags.port}",
        batching=batching(flags),
        limits=RequestLimits(flags.max_k, flags.max_request_rows, flags.max_concurrency),
        parallelism=Parallelism(flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism),
        poll_seconds=flags.file_system_poll_wait_seconds,
        max_message_bytes=flags.max_request_bytes,
        credentials=credentials(flags.ssl_config_file) if flags.ssl_config_file else None,
        channel_arguments=channel_arguments(flags.grpc_channel_arguments),
        warm_up=flags.enable_model_warmup,
    )


def rest_settings_of(flags: argparse.Namespace) -> RestSettings | None:
    """The REST port's settings, where there is to be one."""
    if flags.rest_api_port is None:
        return None
    return RestSettings(
        flags.host,
        flags.rest_api_port,
        flags.rest_api_timeout_in_ms / 1000,
        flags.max_request_bytes,
        metrics_path(flags.monitoring_config_file),
    )


def models(flags: argparse.Namespace) -> list[ModelConfig]:
    """The models of `--model_config_file`, or the one of `--model_base_path`; all must be there."""
    check_paths(flags)
    if flags.model_config_file:
        found = read_models(flags.model_config_file)
    else:
        found = [ModelConfig(flags.model_name, Path(flags.model_base_path).absolute())]
    for model in found:
        if not model.base_path.is_dir():
            raise UserError(f"model {model.name}: {model.base_path} is no folder; python -m serving.export writes one")
        there = model.versions()
        if not model.wanted(there):
            raise UserError(f"model {model.name}: none of the versions wanted is in {model.base_path} (it has {there})")
    return found


def batching(flags: argparse.Namespace) -> BatchingLimits:
    """The batching parameters; without batching every request is a batch of its own."""
    limits = BatchingLimits(num_batch_threads=max(1, os.cpu_count() or 1))
    if not flags.enable_batching:
        return dataclasses.replace(limits, max_batch_size=1)
    if not flags.batching_parameters_file:
        return limits
    config = read_config("--batching_parameters_file", flags.batching_parameters_file, "BatchingParameters")
    given = {name: getattr(config, name).value for name in config.DESCRIPTOR.fields_by_name if config.HasField(name)}
    for name, value in given.items():
        if value < (0 if name == "batch_timeout_micros" else 1):
            raise UserError(f"--batching_parameters_file {flags.batching_parameters_file}: {name} is {value}")
    return dataclasses.replace(limits, **given)


def credentials(path: str) -> grpc.ServerCredentials:
    """TLS, and mutual TLS where the config verifies clients."""
    config = read_config("--ssl_config_file", path, "SSLConfig")
    if not config.server_key or not config.server_cert:
        raise UserError(f"--ssl_config_file {path}: server_key and server_cert (PEM text) are needed")
    if config.client_verify and not config.custom_ca:
        raise UserError(f"--ssl_config_file {path}: client_verify needs custom_ca, who signs the clients' certificates")
    return grpc.ssl_server_credentials(
        [(config.server_key.encode(), config.server_cert.encode())],
        config.custom_ca.encode() or None,
        config.client_verify,
    )


def metrics_path(path: str | None) -> str | None:
    """Where the metrics are shown; None where the config turns them off."""
    if path is None:
        return DEFAULT_PATH
    config = read_config("--monitoring_config_file", path, "MonitoringConfig").prometheus_config
    return (config.path or DEFAULT_PATH) if config.enable else None


def channel_arguments(text: str) -> tuple[tuple[str, str | int], ...]:
    """`key=value,key=value`; whole numbers are numbers."""
    pairs: list[tuple[str, str | int]] = []
    for one in filter(None, text.split(",")):
        key, equals, value = one.partition("=")
        if not equals or not key:
            raise UserError(f"--grpc_channel_arguments {one}: key=value")
        pairs.append((key, int(value) if value.lstrip("-").isdecimal() else value))
    return tuple(pairs)
