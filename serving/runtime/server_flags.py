"""The server's flags, spelt as TensorFlow Serving spells them (a hyphen does for an underscore)."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import Any

from preprocessing.command.flags import Flags

AUTO = "auto"  # a port that is free

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


def _truth(text: str) -> bool:
    if text.lower() in ("true", "1"):
        return True
    if text.lower() in ("false", "0"):
        return False
    raise argparse.ArgumentTypeError("true or false")


def _port(text: str) -> int | str:
    return text if text == AUTO else int(text)


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


def _add(group: Any, name: str, **settings: Any) -> None:
    spellings = dict.fromkeys((f"--{name.replace('_', '-')}", f"--{name}"))
    group.add_argument(*spellings, dest=name, **settings)


def _model_flags(group: Any) -> None:
    _add(
        group,
        "model_base_path",
        help="the folder that serving.export wrote, or its copy on gs://; its newest version is served",
    )
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
        "num_load_threads",
        type=int,
        default=0,
        help="versions that are loaded at a time; 0 is one after the other (default %(default)s)",
    )
    _add(
        group,
        "num_unload_threads",
        type=int,
        default=0,
        help="versions that are unloaded at a time; 0 is one after the other (default %(default)s)",
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
    _add(
        group,
        "port",
        type=_port,
        default=8500,
        help="gRPC; 0 for none beside --grpc_socket_path, auto for a free one (default %(default)s)",
    )
    _add(group, "grpc_socket_path", default="", help="a Unix socket for gRPC, beside the port or instead of it")
    _add(
        group,
        "rest_api_port",
        type=_port,
        default=0,
        help="REST and metrics; auto for a free one; with 0 there is neither (default)",
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
    _add(
        group,
        "rest_api_enable_cors_support",
        type=_truth,
        default=False,
        help="lets pages of other sites call REST (false)",
    )
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
    _add(
        group,
        "ui_judgments",
        metavar="JSONL",
        help="judged queries, a line each of query, item_id, grade",
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
        "request_log",
        metavar="FOLDER",
        help="write a share of the requests here, as PredictionLog records; preprocessing.compare --served reads them",
    )
    _add(group, "request_log_share", type=float, default=0.01, help="of the requests (default %(default)s)")
    _add(
        group,
        "request_log_pasts",
        type=_truth,
        default=False,
        help="write users' pasts down, too (default false: queries and conditions alone)",
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
