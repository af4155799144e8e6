"""What the server's flags ask for: the settings of its parts. Every mistake is named before a model is loaded."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from preprocessing.command.console import UserError
from serving.runtime.server_flags import AUTO

if TYPE_CHECKING:
    import argparse

    from serving.runtime.batching import BatchingLimits
    from serving.runtime.config_files import ModelConfig
    from serving.runtime.grpc_server import Settings
    from serving.runtime.request_log import RequestLogSettings
    from serving.runtime.rest import RestSettings

_LEAST = {
    0: ("num_load_threads", "num_unload_threads"),
    1: (
        "max_k",
        "max_request_rows",
        "max_request_bytes",
        "max_concurrency",
        "rest_api_timeout_in_ms",
        "rest_api_num_threads",
    ),
}


def check_paths(flags: argparse.Namespace) -> None:
    """What can be seen to be wrong before TensorFlow is loaded."""
    if bool(flags.model_config_file) == bool(flags.model_base_path):
        raise UserError("give either --model_base_path, the folder that serving.export wrote, or --model_config_file")
    if flags.model_base_path and "://" not in flags.model_base_path and not Path(flags.model_base_path).is_dir():
        raise UserError(f"--model_base_path {flags.model_base_path} is no folder; python -m serving.export writes one")
    if not flags.port and not flags.grpc_socket_path:
        raise UserError("--port 0 is no port: give --grpc_socket_path as well, or --port auto for a free one")
    if flags.ui and not flags.rest_api_port:
        raise UserError("--ui is served on the REST port: give --rest_api_port as well")
    if not flags.ui and (flags.ui_catalog or flags.ui_users or flags.ui_judgments):
        raise UserError("--ui_catalog, --ui_users and --ui_judgments are for the page: give --ui as well")


def settings_of(flags: argparse.Namespace) -> Settings:
    """What the flags ask for."""
    from serving.runtime.config_files import read_channel_arguments, read_credentials
    from serving.runtime.grpc_server import Settings
    from serving.runtime.manager import Workers
    from serving.runtime.model_states import Retries
    from serving.runtime.predictor import RequestLimits
    from serving.runtime.servable import Parallelism

    _check_numbers(flags)
    batching = _batching(flags)
    rows = flags.max_request_rows
    if flags.batching_parameters_file and flags.enable_batching:
        rows = min(rows, batching.max_batch_size)  # as there, where a batch that is asked for has a size
    return Settings(
        models=_models(flags),
        address=f"{flags.host}:{_listened(flags.port)}" if flags.port else None,
        socket=f"unix:{flags.grpc_socket_path}" if flags.grpc_socket_path else None,
        batching=batching,
        limits=RequestLimits(flags.max_k, rows, flags.max_concurrency),
        parallelism=Parallelism(flags.tensorflow_intra_op_parallelism, flags.tensorflow_inter_op_parallelism),
        poll_seconds=flags.file_system_poll_wait_seconds,
        max_message_bytes=flags.max_request_bytes,
        credentials=read_credentials(flags.ssl_config_file) if flags.ssl_config_file else None,
        channel_arguments=read_channel_arguments(flags.grpc_channel_arguments),
        warm_up=flags.enable_model_warmup,
        retries=Retries(flags.max_num_load_retries, flags.load_retry_interval_micros / 1e6),
        labels_of_any=flags.allow_version_labels_for_unavailable_models,
        workers=Workers(flags.num_load_threads, max(1, flags.num_unload_threads)),
        request_log=_request_log(flags),
    )


def rest_settings_of(flags: argparse.Namespace) -> RestSettings | None:
    """The REST port's settings, where there is to be one."""
    from serving.runtime.config_files import read_metrics_path
    from serving.runtime.prometheus import DEFAULT_PATH
    from serving.runtime.rest import RestSettings

    if not flags.rest_api_port:
        return None
    monitoring = flags.monitoring_config_file
    return RestSettings(
        flags.host,
        _listened(flags.rest_api_port),
        flags.rest_api_timeout_in_ms / 1000,
        flags.max_request_bytes,
        read_metrics_path(monitoring) if monitoring else DEFAULT_PATH,
        flags.rest_api_num_threads,
        drain_seconds=flags.drain_seconds,
        cors=flags.rest_api_enable_cors_support,
    )


def _check_numbers(flags: argparse.Namespace) -> None:
    for least, names in _LEAST.items():
        for name in names:
            if getattr(flags, name) < least:
                raise UserError(f"--{name} {getattr(flags, name)}: at least {least}")
    for name in ("port", "rest_api_port"):
        if not 0 <= _listened(getattr(flags, name)) <= 65_535:
            raise UserError(f"--{name} {getattr(flags, name)}: 0 to 65535, or {AUTO}")


def _request_log(flags: argparse.Namespace) -> RequestLogSettings | None:
    from serving.runtime.request_log import RequestLogSettings

    if not 0 < flags.request_log_share <= 1:
        raise UserError(f"--request_log_share {flags.request_log_share}: above 0, at most 1")
    if flags.request_log is None:
        return None
    return RequestLogSettings(flags.request_log, flags.request_log_share, flags.request_log_pasts)


def _listened(port: int | str) -> int:
    """As the system is asked for it: there 0 is a free one."""
    return 0 if port == AUTO else int(port)


def _models(flags: argparse.Namespace) -> list[ModelConfig]:
    """The models of `--model_config_file`, or the one of `--model_base_path`; all must be there."""
    from serving.runtime.config_files import ModelConfig, read_models
    from serving.runtime.model_files import is_folder, versions_in

    check_paths(flags)
    if flags.model_config_file:
        found = read_models(flags.model_config_file)
    else:
        base = flags.model_base_path.rstrip("/")
        found = [ModelConfig(flags.model_name, base if "://" in base else str(Path(base).absolute()))]
    for model in found:
        if not is_folder(model.base_path):
            raise UserError(f"model {model.name}: {model.base_path} is no folder; python -m serving.export writes one")
        there = versions_in(model.base_path) or {}
        if not model.wanted(there):
            has = ", ".join(map(str, sorted(there))) or "none"
            raise UserError(f"model {model.name}: none of the versions wanted is in {model.base_path} (it has {has})")
    return found


def _batching(flags: argparse.Namespace) -> BatchingLimits:
    """The batching parameters; without batching every request is a batch of its own."""
    from serving.runtime.batching import BatchingLimits
    from serving.runtime.config_files import read_batching

    cores = max(1, os.cpu_count() or 1)
    if not flags.enable_batching:
        return BatchingLimits(num_batch_threads=cores, max_batch_size=1)
    limits = BatchingLimits(num_batch_threads=cores)
    return read_batching(flags.batching_parameters_file, limits) if flags.batching_parameters_file else limits
