"""python -m serving.server: exported models behind TensorFlow Serving's protocol."""

from __future__ import annotations

import logging
import resource
import signal
import sys
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, quiet_native_code, run_command
from serving.runtime.server_flags import arguments
from serving.runtime.settings import check_paths, rest_settings_of, settings_of

if TYPE_CHECKING:
    import argparse

    from aiohttp import web

    from serving.runtime.grpc_server import ModelServer

# Threads hand the interpreter over this often when they compete for it; Python's own 5 ms would be seen in every p99.
_SWITCH_SECONDS = 0.0005


def serve(argv: list[str] | None) -> int:
    """Loads, serves until a signal, drains."""
    flags = arguments(argv)
    check_paths(flags)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from serving.runtime.grpc_server import ModelServer
    from serving.runtime.memory import keep_large_apart
    from serving.runtime.rest import RestServer

    keep_large_apart()
    take_descriptors()
    sys.setswitchinterval(_SWITCH_SECONDS)
    settings, rest_settings = settings_of(flags), rest_settings_of(flags)
    server = ModelServer(settings)
    rest = RestServer(server, rest_settings, page_routes(flags, server)) if rest_settings else None
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    _taken(f"port {flags.port} of {flags.host}", "--port", server.bind)
    if rest:
        _taken(f"--rest_api_port {flags.rest_api_port}", "--rest_api_port", rest.bind)
    _taken(" or ".join(server.addresses), "--port or --grpc_socket_path", server.start)
    available = {name: versions for name, versions in server.manager.available().items() if versions}
    if not available:
        server.stop(0)
        raise UserError("no version could be loaded; the reasons are above")
    if rest:
        rest.start()
    ports = "gRPC " + " and ".join(server.addresses) + (f", REST {flags.host}:{rest.port}" if rest else "")
    ports += f", page http://{flags.host}:{rest.port}/ui" if rest and flags.ui else ""
    print(f"serving {available} on {ports}", flush=True)
    wait_for_end(server, ended, flags.model_config_file, flags.model_config_file_poll_wait_seconds)
    server.stop(flags.drain_seconds, beside=rest.stop if rest else lambda: None)
    return 0


def _taken(what: str, flag: str, take: Callable[[], None]) -> None:
    """Takes a port, or says that it cannot be taken."""
    try:
        take()
    except (OSError, RuntimeError) as error:
        why = f" ({error.strerror})" if isinstance(error, OSError) and error.strerror else ""
        raise UserError(f"{what} is taken or not ours{why}; give another with {flag}") from None


def take_descriptors() -> None:
    """Raises the bound on open files to what the system allows: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def page_routes(flags: argparse.Namespace, server: ModelServer) -> list[web.RouteDef]:
    """What `--ui` adds to the REST port."""
    if not flags.ui:
        return []
    from serving.runtime.ui.files import Catalogue, read_catalogue, read_judgments, read_users
    from serving.runtime.ui.routes import Ui

    catalogue = read_catalogue(flags.ui_catalog) if flags.ui_catalog else Catalogue({})
    users = read_users(flags.ui_users) if flags.ui_users else {}
    judged = read_judgments(flags.ui_judgments) if flags.ui_judgments else {}
    return Ui(server, catalogue, users, flags.rest_api_timeout_in_ms / 1000, judged).routes()


def wait_for_end(server: ModelServer, ended: threading.Event, config_file: str | None, seconds: float) -> None:
    """Until the end; a model config file that changes is taken over, one with a mistake in it is not."""
    from serving.runtime.config_files import read_models
    from serving.runtime.status import ServingError

    served = server.settings.models
    while not ended.wait(seconds if config_file and seconds > 0 else None):
        try:
            wanted = read_models(str(config_file))
        except UserError as error:
            logging.getLogger("serving").error("%s; the models stay as they are", error)
            continue
        if wanted != served:
            served = wanted
            try:
                server.manager.reload(wanted)
            except ServingError as error:
                logging.getLogger("serving").error("--model_config_file %s: %s", config_file, error)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    return serve(argv)


if __name__ == "__main__":
    quiet_native_code()
    run_command(main)
