"""The server runs on its own lock's packages: none that trains, exports or talks to a cloud is there to be imported."""

from __future__ import annotations

import importlib.metadata
import json
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from serving.client import Retriever
from tests.packages import ROOT, locked
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import TIMEOUT

# Modules of a name space that packages of the lock have a part in.
CLOUD = ("google.cloud", "google.auth", "google.api_core", "google.oauth2")
BARRED = """
import sys

class Barred:
    def find_spec(self, name, path=None, target=None):
        if name in NAMES or name.split(".")[0] in NAMES:
            raise ModuleNotFoundError(f"No module named {name!r}, which the server's image has not", name=name)

sys.meta_path.insert(0, Barred())
from serving.server import main
sys.exit(main(sys.argv[1:]))
"""


def barred() -> set[str]:
    """The top-level modules that are installed here, but by no package of the server's lock."""
    lock = {_plain(name) for name in locked(ROOT / "deploy/serving/requirements.lock")}
    found = importlib.metadata.packages_distributions()
    others = {module for module, owners in found.items() if not {*map(_plain, owners)} & lock}
    return {*CLOUD, *others - {"preprocessing", "serving", "trainer", "multigrain"}}


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_it_serves_every_port_and_the_page(exported: Callable[[str], Path], tmp_path: Path) -> None:
    names, base = barred(), exported("scann")
    assert {"apache_beam", "optuna", "matplotlib", "pyarrow", "tensorflow_recommenders"} <= names
    (tmp_path / "catalog.jsonl").write_text(json.dumps({"item_id": "i1", "title": "shoes"}))
    (tmp_path / "log").mkdir()
    flags = {
        "model-base-path": base,
        "model-name": "retrieval",
        "port": "auto",
        "rest-api-port": "auto",
        "ui-catalog": tmp_path / "catalog.jsonl",
        "request_log": tmp_path / "log",
        "request_log_share": 1,
        "batching_parameters_file": ROOT / "deploy/serving/batching.config",
    }
    command = [sys.executable, "-c", f"NAMES = {names!r}\n{BARRED}", "--ui"]
    command += [f"--{name}={value}" for name, value in flags.items()]
    with (
        open(tmp_path / "err", "w") as err,
        subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=err, text=True) as process,
    ):
        assert process.stdout is not None
        said = process.stdout.readline()
        ports = re.findall(r"127\.0\.0\.1:(\d+)", said)
        assert len(ports) >= 2, (tmp_path / "err").read_text()
        with Retriever(f"127.0.0.1:{ports[0]}", timeout=TIMEOUT) as retriever:
            hits = retriever.retrieve("shoes", k=3).hits
            assert len(hits) == 3 and retriever.similar(hits[0].item_id, k=3).known
        http = Http(int(ports[1]))
        assert http.get("/healthz/retrieval") == (200, {"status": "SERVING"})
        assert http.post("/v1/models/retrieval:predict", {"instances": ["shoes"]})[0] == 200
        assert http.post("/ui/search", {"query": "shoes", "model": "retrieval"})[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    assert list((tmp_path / "log").iterdir())
