"""TensorFlow Serving's public clients against `python -m serving.server`: stubs generated for Go, and curl on REST."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import grpc
import pytest
from go_stubs import generate

from tests.serving.runtime.serving_stubs import Stubs, retrieve_inputs
from tests.serving.runtime.small_model import write_version

ROOT = Path(__file__).parents[2]
GO_CLIENT = Path(__file__).with_name("go_client")
QUERY = "red running shoes 鞋"


class Address(NamedTuple):
    """Where the server listens."""

    grpc: str
    rest: str


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Address]:
    """The server over version 3 of a small model."""
    base = tmp_path_factory.mktemp("foreign") / "retrieval"
    base.mkdir()
    write_version(base, 3)
    command = [sys.executable, "-m", "serving.server", "--model_base_path", str(base), "--model_name", "retrieval"]
    command += ["--port", "auto", "--rest_api_port", "auto"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        ports = process.stdout.readline().split("gRPC ")[1]
        yield Address(*(one.strip() for one in ports.split(", REST ")))
        process.terminate()
        assert process.wait(60) == 0


@pytest.mark.skipif(shutil.which("go") is None, reason="needs Go: no go here")
def test_go(address: Address, tmp_path: Path) -> None:
    module = shutil.copytree(GO_CLIENT, tmp_path / "client")
    generate(module)
    subprocess.run(["go", "build", "-o", "client", "."], cwd=module, check=True, timeout=300)
    client = [module / "client", address.grpc, "retrieval", QUERY]
    said = json.loads(subprocess.run(client, check=True, capture_output=True, timeout=60).stdout)
    with grpc.insecure_channel(address.grpc) as channel:
        stubs = Stubs(channel)
        default, few = stubs.predict(query=[QUERY, ""]), stubs.predict("retrieve", **retrieve_inputs([QUERY], 3))
    assert (said["state"], said["refusal"]) == ("AVAILABLE", "NotFound")
    for heard, wanted in ((said["serving_default"], default), (said["retrieve"], few)):
        assert (heard["version"], heard["columns"]) == (3, wanted["scores"].shape[1])
        assert heard["item_ids"] == [one.decode() for one in wanted["item_ids"].ravel()]
        assert heard["scores"] == pytest.approx(wanted["scores"].ravel().tolist())


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: none here")
def test_curl(address: Address) -> None:
    def curl(path: str, *flags: str) -> dict:
        command = ["curl", "--silent", "--fail-with-body", "--max-time", "30", *flags]
        url = f"http://{address.rest}/v1/models/retrieval{path}"
        return json.loads(subprocess.run([*command, url], check=True, capture_output=True).stdout)

    assert curl("")["model_version_status"][0]["state"] == "AVAILABLE"
    assert "retrieve" in curl("/metadata")["metadata"]["signature_def"]["signature_def"]
    row = curl(":predict", "--data", json.dumps({"instances": [QUERY]}))["predictions"][0]
    column = curl("/versions/3:predict", "--data", json.dumps({"inputs": [QUERY]}))["outputs"]
    assert row == {name: values[0] for name, values in column.items()}
    with grpc.insecure_channel(address.grpc) as channel:
        wanted = Stubs(channel).predict(query=[QUERY])
    assert row["item_ids"] == [one.decode() for one in wanted["item_ids"][0]]
