"""The server's flags, spelt as TensorFlow Serving spells them (a hyphen does for an underscore), and what they set.

Every mistake in them is named before a model is loaded; what is heavy is imported behind `--help` and the plain ones.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from preprocessing.command.console import UserError
from preprocessing.command.flags import Flags

if TYPE_CHECKING:
    from serving.runtime.batching import BatchingLimits
    from serving.runtime.config_files import ModelConfig
    from serving.runtime.grpc_server import Settings
    from serving.runtime.rest import RestSettings

_HELP = """\
Serves exported models by TensorFlow Serving's own protocol: gRPC (PredictionService, ModelService, health,
reflection), REST on a second port, Prometheus metrics. It loads ScaNN exports, which stock TensorFlow Serving cannot.
New versions in the folder are loaded, warmed up and switched to without dropping a request.

examples:
  python -m serving.server --model-base-path out/models/retrieval --model-name retrieval
  python -m serving.server --model-base-path out/models/retrieval --model-name retrieval --port 8500 \\
      --rest-api-port 8501 --host 0.0.0.0 --ssl-config-file deploy/serving/ssl.config
  python -m serving.server --model-base-path out/models/retrieval --model-name retrieval --rest-api-port 8501 \\
      --ui --ui-catalog out/raw/catalog.jsonl.gz --ui-users out/users.jsonl
  (the page is http://localhost:8501/ui)
"""


_POSITIVE = (
    "max_k",
    "max_request_rows",
    "max_request_bytes",
    "max_concurrency",
    "rest_api_timeout_in_ms",
    "rest_api_num_threads",
)


def _truth(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError("true or false")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        prog="python -m serving.server",
        description=_HELP,
    )
    _model_flags(flags.add_argument_group("models"))
    _port_flags(flags.add_argument_group("ports"))
    _page_flags(flags.add_argument_group("the page to look at"))
    _running_flags(flags.add_argument_group("running"))
    _limit_flags(flags.add_argument_group("limits of this server (TensorFlow Serving has none of them)"))
    return flags.parse_args(argv)


def check_paths(flags: argparse.Namespace) -> None:
    """What can be seen to be wrong before TensorFlow is loaded."""
    if bool(flags.model_config_file) == bool(flags.model_base_path):
        raise UserError("give either --model_base_path, the folder that serving.export wrote, or --model_config_file")
    if flags.model_base_path and not Path(flags.model_base_path).is_dir():
        raise UserError(f"--model_base_path {flags.model_base_path} is no folder; python -m serving.export writes one")
    if flags.ui and flags.rest_api_port is None:
        raise UserError("--ui is served on the REST port: give --rest_api_port as well")
    if not flags.ui and (flags.ui_catalog or flags.ui_users):
        raise UserError("--ui_catalog and --ui_users are for the page: give --ui as well")


def settings_of(flags: argparse.Namespace) -> Settings:
    """What the flags ask for."""
    from serving.runtime.config_files import read_channel_arguments, read_credentials
    from serving.runtime.grpc_server import Settings
    from serving.runtime.model_states import Retries
    from serving.runtime.predictor import RequestLimits
    from serving.runtime.servable import Parallelism

    for name in _POSITIVE:
        if getattr(flags, name) < 1:
            raise UserError(f"--{name} {getattr(flags, name)}: at least 1")
    for name in ("port", "rest_api_port"):
        if not 0 <= (getattr(flags, name) or 0) <= 65_535:
            raise UserError(f"--{name} {getattr(flags, name)}: 0 to 65535")
    batching = _batching(flags)
    rows = flags.max_request_rows
    if flags.batching_parameters_file and flags.enable_batching:
        rows = min(rows, batching.max_batch_size)  # as there, where a batch that is asked for has a size
    return Settings(
        models=_models(flags),
        address=f"{flags.host}:{flags.port}",
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
    )


def rest_settings_of(flags: argparse.Namespace) -> RestSettings | None:
    """The REST port's settings, where there is to be one."""
    from serving.runtime.config_files import read_metrics_path
    from serving.runtime.prometheus import DEFAULT_PATH
    from serving.runtime.rest import RestSettings

    if flags.rest_api_port is None:
        return None
    monitoring = flags.monitoring_config_file
    return RestSettings(
        flags.host,
        flags.rest_api_port,
        flags.rest_api_timeout_in_ms / 1000,
        flags.max_request_bytes,
        read_metrics_path(monitoring) if monitoring else DEFAULT_PATH,
        flags.rest_api_num_threads,
        drain_seconds=flags.drain_seconds,
        cors=flags.enable_cors_support,
    )


def _models(flags: argparse.Namespace) -> list[ModelConfig]:
    """The models of `--model_config_file`, or the one of `--model_base_path`; all must be there."""
    from serving.runtime.config_files import ModelConfig, read_models

    check_paths(flags)
    if flags.model_config_file:
        found = read_models(flags.model_config_file)
    else:
        found = [ModelConfig(flags.model_name, Path(flags.model_base_path).absolute())]
    for model in found:
        if not model.base_path.is_dir():
            raise UserError(f"model {model.name}: {model.base_path} is no folder; python -m serving.export writes one")
        there = model.versions() or {}
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


def _add(group: Any, name: str, **settings: Any) -> None:
    spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
    group.add_argument(*spellings, dest=name, **settings)


def _model_flags(group: Any) -> None:
    _add(group, "model_base_path", help="the folder that serving.export wrote; its newest version is served")
    _add(group, "model_name", default="default", help="what clients call it (default %(default)s)")
    _add(group, "model_config_file", help="several models, version policies and labels, instead of the two above")
    _add(
        group,
        "model_config_file_poll_wait_seconds",
        type=float,
        default=0,
        help="read that file again after so many seconds; 0 reads it once (default)",
    )
    _add(
        group,
        "file_system_poll_wait_seconds",
        type=float,
        default=1,
        help="seconds between looks for new versions; 0 never looks again (default %(default)s)",
    )
    _add(
        group,
        "max_num_load_retries",
        type=int,
        default=5,
        help="how often a version that did not load is tried again while its files stay (default %(default)s)",
    )
    _add(
        group,
        "load_retry_interval_micros",
        type=int,
        default=60_000_000,
        help="between two such tries (default %(default)s)",
    )
    _add(
        group,
        "allow_version_labels_for_unavailable_models",
        type=_truth,
        default=False,
        help="lets a reload give a new label to a version that is not loaded yet (default false)",
    )
    _add(
        group,
        "enable_model_warmup",
        type=_truth,
        default=True,
        help="play assets.extra/tf_serving_warmup_requests to a new version first (default true)",
    )


def _port_flags(group: Any) -> None:
    _add(group, "host", default="127.0.0.1", help="address of both ports (default %(default)s: this machine alone)")
    _add(group, "port", type=int, default=8500, help="gRPC; 0 takes a free one (default %(default)s)")
    _add(
        group,
        "rest_api_port",
        type=int,
        help="REST and metrics; 0 takes a free one; without this flag there is neither",
    )
    _add(
        group,
        "rest_api_timeout_in_ms",
        type=int,
        default=30_000,
        help="milliseconds for a REST call (default %(default)s)",
    )
    _add(
        group,
        "rest_api_num_threads",
        type=int,
        default=4 * (os.cpu_count() or 1),
        help="that read and write JSON; eight calls for each are taken at a time (default %(default)s)",
    )
    _add(group, "enable_cors_support", type=_truth, default=False, help="lets pages of other sites call REST (false)")
    _add(
        group, "ssl_config_file", help="keys and certificates, as a text SSLConfig; client_verify asks for the client's"
    )
    _add(group, "grpc_channel_arguments", default="", help="key=value,key=value for gRPC")


def _page_flags(group: Any) -> None:
    _add(group, "ui", action="store_true", help="serve a page to search on, at /ui of the REST port")
    _add(group, "ui_catalog", metavar="JSONL", help="the catalogue, .gz or not: titles, brands, reasons come from it")
    _add(
        group,
        "ui_users",
        metavar="JSONL",
        help="users to pick from: one a line, with user_id and the lists that serving.client --user takes",
    )


def _running_flags(group: Any) -> None:
    _add(group, "enable_batching", type=_truth, default=True, help="run concurrent requests together (default true)")
    _add(group, "batching_parameters_file", help="max_batch_size and the rest, as a text BatchingParameters")
    _add(group, "monitoring_config_file", help="path of the metrics, as a text MonitoringConfig (on by default)")
    _add(group, "tensorflow_intra_op_parallelism", type=int, default=0, help="threads in one op (default: all cores)")
    _add(
        group,
        "tensorflow_inter_op_parallelism",
        type=int,
        default=-1,
        help="threads for ops; -1 runs a batch in the thread that gathered it, the fastest for these models (default)",
    )
    _add(
        group,
        "drain_seconds",
        type=float,
        default=30,
        help="how long requests may go on after SIGTERM (default %(default)s)",
    )


def _limit_flags(group: Any) -> None:
    cores = os.cpu_count() or 1
    _add(group, "max_k", type=int, default=10_000, help="the largest k of a request (default %(default)s)")
    _add(group, "max_request_rows", type=int, default=4_096, help="queries in one request (default %(default)s)")
    _add(group, "max_request_bytes", type=int, default=16 << 20, help="bytes in one message (default %(default)s)")
    _add(
        group,
        "max_concurrency",
        type=int,
        default=max(64, 16 * cores),
        help="concurrent requests; one more gets RESOURCE_EXHAUSTED at once (default %(default)s)",
    )
