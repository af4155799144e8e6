"""What is deployed is valid, and says no in one line where it must."""

from __future__ import annotations

import os
import re
import subprocess
from ctypes.util import find_library
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from tensorflow.core.protobuf import config_pb2

from serving.config import ServingConfig
from serving.runtime.config_files import read_metrics_path, read_models
from serving.runtime.server_flags import arguments
from serving.runtime.settings import settings_of
from serving.sharding.shards import QUERY, shard_name

DEPLOY = Path(__file__).parents[3] / "deploy" / "serving"
OLDEST, NEWEST = "1.29", "1.37"


def documents() -> list[tuple[str, Any]]:
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [(f"{file.name}:{one['kind']}", one) for file in files for one in yaml.safe_load_all(file.read_text())]


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("manifest", [one for _, one in documents()], ids=[name for name, _ in documents()])
def test_manifests_are_of_kubernetes_schemas(manifest: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(manifest, version, strict=True)


def test_a_wrong_manifest_would_be_found() -> None:
    manifest = next(one for name, one in documents() if name == "deployment.yaml:Deployment")
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest | {"spec": manifest["spec"] | {"replica": 2}}, NEWEST, strict=True)


def test_selectors_ports_and_grace_fit_together() -> None:
    for name, one in documents():
        if one["kind"] not in ("Deployment", "StatefulSet"):
            continue
        spec = one["spec"]["template"]["spec"]
        assert one["spec"]["selector"]["matchLabels"] == one["spec"]["template"]["metadata"]["labels"], name
        (server,) = spec["containers"]
        assert {port["containerPort"] for port in server["ports"]} == {8500, 8501}, name
        mounts, volumes = {m["name"] for m in server["volumeMounts"]}, {v["name"] for v in spec["volumes"]}
        claims = {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
        assert mounts == volumes | claims, name
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            asked = server[probe]["httpGet"]  # gRPC's probes speak no TLS
            model = one["metadata"]["name"]
            assert asked["port"] == "http" and asked["path"] in ("/healthz", f"/healthz/{model}", f"/v1/models/{model}")
        assert server["readinessProbe"]["httpGet"]["path"] == f"/healthz/{one['metadata']['name']}", name
        assert spec["terminationGracePeriodSeconds"] > 5 + arguments([]).drain_seconds, name


def test_shards_are_served_where_their_export_says(tmp_path: Path) -> None:
    found = [one for name, one in documents() if name.startswith("sharded.yaml:")]
    (configs,) = (one["data"] for one in found if one["kind"] == "ConfigMap")
    names = [QUERY, *(shard_name(number, 2) for number in range(2))]
    assert list(configs) == [f"{name}.config" for name in names]
    services = {one["metadata"]["name"]: one for one in found if one["kind"] == "Service"}
    assert [ServingConfig().shard_target.format(name=name) for name in names] == [f"{name}:8500" for name in services]
    for one in found:
        if one["kind"] != "Deployment":
            continue
        name, labels = one["metadata"]["name"], one["spec"]["template"]["metadata"]["labels"]
        assert services[name]["spec"]["selector"] == labels
        (server,) = one["spec"]["template"]["spec"]["containers"]
        flags = arguments(server["args"])
        (tmp_path / name).write_text(configs[flags.model_config_file.removeprefix("/etc/shards/")])
        (model,) = read_models(str(tmp_path / name))
        assert (model.name, str(model.base_path), model.latest) == (name, f"/models/retrieval/{name}", 2)


def test_configs_are_read_by_the_embedded_server(models: Path) -> None:
    flags = ["--model_base_path", str(models), "--batching_parameters_file", str(DEPLOY / "batching.config")]
    settings = settings_of(arguments(flags))
    assert (settings.batching.max_batch_size, settings.batching.max_enqueued_batches) == (64, 16)
    assert read_metrics_path(str(DEPLOY / "monitoring.config")) == "/monitoring/prometheus/metrics"
    (model,) = read_models(str(DEPLOY / "models.config"))
    assert (model.name, str(model.base_path), model.latest) == ("retrieval", "/models/retrieval", 2)


def test_tensorflow_serving_does_not_optimise_again() -> None:
    config = text_format.Parse((DEPLOY / "session.config").read_text(), config_pb2.ConfigProto())
    assert config.graph_options.rewrite_options.disable_meta_optimizer
    assert config.graph_options.optimizer_options.opt_level == config_pb2.OptimizerOptions.L0
    named = set(re.findall(r"/etc/multigrain/(\S+\.config)", (DEPLOY / "stock-start.sh").read_text()))
    dockerfile = (DEPLOY / "stock.Dockerfile").read_text()
    assert "session.config" in named and all(f"deploy/serving/{name}" in dockerfile for name in named)


def test_compose_names_files_that_are_there() -> None:
    compose = yaml.safe_load((DEPLOY / "docker-compose.yaml").read_text())
    for service in compose["services"].values():
        assert (DEPLOY.parents[1] / service["build"]["dockerfile"]).is_file()
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    for dockerfile in DEPLOY.glob("*.Dockerfile"):
        for line in dockerfile.read_text().splitlines():
            if line.startswith("COPY") and "--from" not in line:
                for source in line.split()[1:-1]:
                    assert (DEPLOY.parents[1] / source).exists(), (dockerfile.name, source)


def start(script: str, path: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | variables | {"PATH": f"{path}:{os.environ['PATH']}"}
    command = ["sh", str(DEPLOY / script), "--extra"]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=30)


def test_a_stock_image_refuses_a_scann_export(models: Path, tmp_path: Path) -> None:
    bin_path = tmp_path / "bin"
    bin_path.mkdir()
    (bin_path / "tensorflow_model_server").write_text('#!/bin/sh\necho started "$@"\n')
    (bin_path / "tensorflow_model_server").chmod(0o755)
    good = start("stock-start.sh", str(bin_path), MODEL_BASE_PATH=str(models))
    assert (good.returncode, good.stderr) == (0, "")
    assert good.stdout.startswith("started --port=8500 --grpc_max_threads=256 ")
    assert good.stdout.endswith(" --extra\n")
    scann = tmp_path / "models" / "10"
    scann.mkdir(parents=True)
    (tmp_path / "models" / "9").mkdir()
    (scann / "saved_model.pb").write_bytes(b"\x00Scann>ScannScannSearchBatched\xff")
    for base, words in ((scann.parent, "export with --index portable"), (tmp_path, "no version")):
        refused = start("stock-start.sh", str(bin_path), MODEL_BASE_PATH=str(base))
        assert (refused.returncode, refused.stdout, refused.stderr.count("\n")) == (2, "", 1)
        assert words in refused.stderr


@pytest.mark.parametrize(
    ("library", "version", "said"),
    [
        (find_library("m"), "echo 2.20.0", "started --port=8500 --grpc_max_threads=256 "),
        ("nowhere.so", "echo 2.20.0", "cannot be preloaded"),
        (find_library("m"), "echo undefined symbol: _ZN4absl >&2; exit 127", "undefined symbol: _ZN4absl"),
    ],
)
def test_scanns_ops_are_looked_for_at_the_start(library: str, version: str, said: str, tmp_path: Path) -> None:
    program = tmp_path / "tensorflow_model_server"
    program.write_text(f'#!/bin/sh\n[ "$1" != --version ] || {{ {version}; exit; }}\necho started "$@"\n')
    program.chmod(0o755)
    done = start("scann-start.sh", str(tmp_path), SCANN_OPS=library)
    if "started" in said:
        assert (done.returncode, done.stderr) == (0, "")
        found, started = done.stdout.splitlines()
        assert (
            found.startswith("ScaNN's ops were found: ") and started.startswith(said) and started.endswith(" --extra")
        )
    else:
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
        assert done.stderr.startswith("error: ScaNN's ops were not found: ") and said in done.stderr


def test_pods_hold_no_key_to_the_cluster_and_the_network_is_closed() -> None:
    pods = [one["spec"]["template"] for _, one in documents() if one["kind"] in ("Deployment", "StatefulSet")]
    (policy,) = (one["spec"] for _, one in documents() if one["kind"] == "NetworkPolicy")
    assert policy["policyTypes"] == ["Ingress", "Egress"] and policy["egress"] == []
    asked = {port["port"] for rule in policy["ingress"] for port in rule["ports"]}
    for pod in pods:
        assert pod["spec"]["automountServiceAccountToken"] is False
        assert policy["podSelector"]["matchLabels"].items() <= pod["metadata"]["labels"].items()
        (server,) = pod["spec"]["containers"]
        assert asked == {port["name"] for port in server["ports"]}
