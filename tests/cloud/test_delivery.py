"""cloudbuild.yaml: of the right type, all that it names exists, and the scripts that can run here do."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.dataflow_v1beta3.types import ContainerSpec
from google.cloud.devtools.cloudbuild_v1.types import Build, BuildStep

from serving.client import arguments as client_arguments
from tests.ports import free_ports
from tests.serving.runtime.small_model import write_version
from trainer.submit import build

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cloudbuild.yaml").read_text()
BUILD = Build.from_json(json.dumps(yaml.safe_load(TEXT)), ignore_unknown_fields=False)
STEPS = {step.id: step for step in BUILD.steps}
DOCKERFILES = sorted((ROOT / "deploy").rglob("*.Dockerfile"))
GIVEN = {"PROJECT_ID": "my-project", "BUILD_ID": "b1", "_BUCKET": "bucket", "_DATA": "gs://bucket/data"}


def variables(**changes: str) -> dict[str, str]:
    """The substitutions as a step's script sees them."""
    values = {**BUILD.substitutions, **GIVEN, **changes}
    for name in ("_IMAGES", "_WORK"):
        values[name] = re.sub(r"\$\{(\w+)\}", lambda found: values[found[1]], values[name])
    return values


def commands(step: BuildStep) -> Iterator[list[str]]:
    """The simple commands of a script, with the substitutions put in."""
    for line in step.script.replace("\\\n", " ").splitlines():
        for name, value in {
            **variables(),
            "image": "trainer",
            "lock": "requirements.lock",
            "template": "batch",
        }.items():
            line = re.sub(rf"\${name}\b", value, line)
        words = shlex.shlex(line, posix=True, punctuation_chars=True)
        words.whitespace_split = True
        for simple, group in itertools.groupby(words, lambda word: not re.fullmatch(r"[&;|()<>]+", word)):
            if simple:
                yield list(group)


def called(program: str) -> list[tuple[str, list[str]]]:
    """(step, words behind `program`) of all its calls."""
    size = len(program.split())
    return [
        (step.id, command[size:])
        for step in BUILD.steps
        for command in commands(step)
        if " ".join(command[:size]) == program
    ]


def modules() -> Iterator[tuple[str, list[str]]]:
    """(step, words behind `python -m`) of its calls, those within a container of the step's among them."""
    for step in BUILD.steps:
        for words in commands(step):
            if words[0] in ("python", "docker") and "python" in words:
                yield step.id, words[words.index("python") + 2 :]


def test_the_order_of_the_steps() -> None:
    assert len(STEPS) == len(BUILD.steps)
    seen: set[str] = set()
    for step in BUILD.steps:
        assert step.wait_for and set(step.wait_for) <= seen | {"-"}, step.id
        assert 0 < step.timeout.total_seconds() <= BUILD.timeout.total_seconds(), step.id
        seen.add(step.id)
    begun = [step.id for step in BUILD.steps if list(step.wait_for) == ["-"]]
    assert begun == ["test", "audit", "sbom", "pin"]


def test_nothing_is_released_before_all_else_has_passed() -> None:
    behind, changes = {"gate"}, {"release", "serve-live", "train-in-full"}
    while more := {one for step in behind for one in STEPS[step].wait_for} - behind - {"-"}:
        behind |= more
    assert behind == set(STEPS) - changes
    assert all(set(STEPS[step].wait_for) <= {"gate", "release"} for step in changes)


def test_what_is_trained_does_not_wait_for_what_is_slow() -> None:
    path, step = [], "gate"
    while step in STEPS:
        path.append(step)
        step = STEPS[step].wait_for[0]
    assert path == ["gate", "evaluate", "train", "sample", "trainer-image", "pin"]


def test_substitutions_are_defined_and_documented_and_no_secret_is_among_them() -> None:
    used = set(re.findall(r"\$\{?(_[A-Z_]+)", TEXT))
    assert used == set(BUILD.substitutions)
    documented = set(re.findall(r"^#   (_[A-Z_]+)", TEXT, re.MULTILINE))
    assert documented == used - {"_IMAGES", "_WORK"}
    assert not BUILD.available_secrets and not BUILD.secrets and not any(step.secret_env for step in BUILD.steps)


@pytest.mark.parametrize("name", STEPS)
def test_scripts_are_of_the_shell(name: str) -> None:
    script = STEPS[name].script
    assert script.startswith("set -eu\n")
    subprocess.run(["sh", "-n"], input=script, text=True, check=True)


def test_commands_have_their_flags(tmp_path: Path) -> None:
    seen = set()
    for step, (module, *flags) in modules():
        seen.add(module)
        program = importlib.import_module(module)
        parse = getattr(program, "arguments", None) or program._arguments
        found = parse(flags)  # an unknown flag ends the test here
        if module == "preprocessing.pipeline":
            found, unknown = found
            assert not unknown, step
        if module == "trainer.submit":
            job, _, _ = build(found)
            (pool,) = job.job_spec.worker_pool_specs
            assert pool.container_spec.image_uri.startswith("europe-west4-docker.pkg.dev/my-project/multigrain/trainer")
        if getattr(found, "config", None) is not None:
            assert (ROOT / found.config.removeprefix("/workspace/")).exists()
    assert seen == {
        *("preprocessing.simulate", "preprocessing.pipeline", "trainer.submit", "trainer.evaluate", "trainer.gate"),
        *("serving.export", "serving.server"),
    }


def test_make_targets() -> None:
    ((_, words),) = called("su")
    for target in re.findall(r"make ([\w-]+)", words[-1]):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_the_question_to_the_new_server() -> None:
    (asked,) = (words for step, words in called("timeout") if step == "serve")
    flags = re.search(r"python -m serving.client (.*?);", asked[-1])[1]  # type: ignore[index]
    assert client_arguments(flags.split()).target == ["localhost:8500"]


def test_images() -> None:
    built = called("docker buildx build")
    assert {words[words.index("--file") + 1] for _, words in built} == {
        str(path.relative_to(ROOT)) for path in DOCKERFILES
    }
    for _, words in built:
        stages = re.findall(r"^FROM \S+ AS (\S+)", (ROOT / words[words.index("--file") + 1]).read_text(), re.MULTILINE)
        assert "--target" not in words or words[words.index("--target") + 1] in stages
        assert "--push" in words and words[-1] == "."
    tags = {words[words.index("--tag") + 1] for _, words in built}
    assert len(tags) == len(built) and all(tag.endswith(":b1") for tag in tags)
    pulled = {step.name for step in BUILD.steps if step.name.startswith("${_IMAGES}")}
    assert {name.replace("${_IMAGES}", variables()["_IMAGES"]).replace("${BUILD_ID}", "b1") for name in pulled} <= tags
    for lock in re.search(r"for lock in (.*?);", STEPS["audit"].script)[1].split():  # type: ignore[index]
        assert (ROOT / lock).exists()


def run(step: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """A step's script, here, with tools of Google's that write down what they are asked for."""
    tools = folder / "tools"
    tools.mkdir()
    asked = f'echo "$(basename "$0") $*" >> {folder}/asked'
    for name, does in {"gcloud": asked, "kubectl": asked, "python": f'exec {sys.executable} "$@"'}.items():
        tool(tools / name, does)
    return run_here(step, folder, **changes)


def run_here(step: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """A step's script, here, with the tools of the folder."""
    path = f"{folder / 'tools'}:{os.environ['PATH']}"
    environment = {**os.environ, **variables(**changes), "PATH": path, "PYTHONPATH": str(ROOT)}
    script = STEPS[step].script.replace("/tmp/", f"{folder}/")
    script = script.replace("/workspace/models", f"{folder}/models").replace("/workspace/", f"{ROOT}/")
    for port in re.findall(r"--port (\d+)", script):
        script = script.replace(port, str(*free_ports(1)))
    return subprocess.run(["sh"], input=script, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


def tool(path: Path, does: str) -> None:
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)


def test_the_gate(tmp_path: Path) -> None:
    (tmp_path / "job").mkdir()
    figures = {"recall@100/clicked": {"mean": 0.25}}
    (tmp_path / "job/metrics.json").write_text(json.dumps({"job": "one", "models": {"one": figures}}))
    for number, (least, status) in enumerate((("0.2", 0), ("0.3", 1))):
        folder = tmp_path / str(number)
        folder.mkdir()
        done = run("gate", folder, _WORK=str(tmp_path), _LEAST=least)
        assert done.returncode == status, done.stderr
    assert done.stderr.startswith("error: recall@100/clicked of ") and "is 0.2500, below --least 0.3000" in done.stderr


def test_the_server_answers(tmp_path: Path) -> None:
    """As in the new image; its export is made here by another model, in the folder that the flags name."""
    write_version(tmp_path / "small", 1, ["a", "b", "c"])
    (tmp_path / "tools").mkdir()
    tool(tmp_path / "tools" / "python", f'exec {sys.executable} "$@"')
    tool(tmp_path / "tools" / "docker", f"mkdir {tmp_path}/models; mv {tmp_path}/small {tmp_path}/models/retrieval")
    for step in ("export", "serve"):
        done = run_here(step, tmp_path)
    assert done.returncode == 0, done.stderr
    (answers,) = re.findall(r"^rank .*\n((?:   \d .*\n)+)", done.stdout, re.MULTILINE)
    assert {line.split()[3] for line in answers.splitlines()} == {"a", "b", "c"}


@pytest.mark.parametrize("answers", [True, False])
def test_scann_in_tensorflow_serving_is_asked(answers: bool, tmp_path: Path) -> None:
    """Where it does not answer, its log is shown with one line on what failed, and the build goes on."""
    (tmp_path / "tools").mkdir()
    tool(tmp_path / "tools" / "docker", f'echo "$*" >> {tmp_path}/asked')
    tool(tmp_path / "tools" / "timeout", 'shift; exec "$@"' if answers else "exit 124")
    done = run_here("serve-scann", tmp_path)
    start, *rest = (tmp_path / "asked").read_text().splitlines()
    assert "--detach --name scann" in start and start.endswith("/tf-serving-scann:b1")
    if answers:
        assert done.returncode == 0 and rest[0].endswith("python -m serving.client shoes --target scann:8500")
    else:
        assert (done.returncode, rest) == (1, ["logs scann"])
        assert done.stderr == "error: TensorFlow Serving with ScaNN's library did not answer; its log is above\n"
    assert [step.id for step in BUILD.steps if step.allow_failure] == ["serve-scann"]


def test_the_release(tmp_path: Path) -> None:
    done = run("release", tmp_path, _DEPLOY="true")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    for image in ("trainer", "trainer-gpu", "beam", "server", "tf-serving"):
        assert f"{variables()['_IMAGES']}/{image}:b1 {variables()['_IMAGES']}/{image}:live" in asked
    for name in ("preprocessing", "batch"):
        template = ContainerSpec.from_json((tmp_path / f"{name}.json").read_text(), ignore_unknown_fields=False)
        assert template.image == template.default_environment.sdk_container_image == f"{variables()['_IMAGES']}/beam:b1"
        assert f"gs://bucket/templates/{name}.json" in asked
    assert "gs://bucket/sbom/b1/" in asked


def test_the_servers_are_rolled_over(tmp_path: Path) -> None:
    image = f"{variables()['_IMAGES']}/server@sha256:5e"
    asked = f'echo "$*" >> {tmp_path}/good/asked; case "$*" in *digest*) echo sha256:5e;; esac'
    for name in ("good", "bad"):
        (tmp_path / name / "tools").mkdir(parents=True)
    tool(tmp_path / "good/tools/gcloud", asked)
    tool(tmp_path / "good/tools/kubectl", f'echo "kubectl $*" >> {tmp_path}/good/asked')
    done = run_here("serve-live", tmp_path / "good", _DEPLOY="true", _CLUSTER="shop")
    assert done.returncode == 0, done.stderr
    credentials, _, change, wait = (tmp_path / "good/asked").read_text().splitlines()
    assert credentials == "container clusters get-credentials shop --region europe-west4 --project my-project"
    assert change == f"kubectl set image deployment/retrieval server={image}" and "rollout status" in wait
    deployment = next(yaml.safe_load_all((ROOT / "deploy/serving/kubernetes/deployment.yaml").read_text()))
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert (deployment["kind"], deployment["metadata"]["name"], container["name"]) == (
        "Deployment",
        "retrieval",
        "server",
    )

    asked = f'echo "$*" >> {tmp_path}/bad/asked'
    tool(tmp_path / "bad/tools/gcloud", asked)
    tool(tmp_path / "bad/tools/kubectl", f'{asked}; [ "$2" != status ]')
    done = run_here("serve-live", tmp_path / "bad", _DEPLOY="true", _CLUSTER="shop")
    assert done.returncode == 1
    assert (tmp_path / "bad/asked").read_text().splitlines()[-1] == "rollout undo deployment/retrieval"


def test_base_images_are_pinned(tmp_path: Path) -> None:
    """Every base image of every Dockerfile, whether it has a digest or not; without one from the registry, no build."""
    (tmp_path / "tools").mkdir()
    manifest = (
        'echo "Name: $4"; echo "Digest:    sha256:$(printf "%s" "$4" | sha256sum | cut -c1-64)"; echo "  Digest: no"'
    )
    tool(tmp_path / "tools" / "docker", manifest)
    deploy = shutil.copytree(ROOT / "deploy", tmp_path / "deploy")
    script = STEPS["pin"].script
    environment = {**os.environ, "PATH": f"{tmp_path / 'tools'}:{os.environ['PATH']}"}
    given: dict[str, Any] = {"input": script, "env": environment, "cwd": tmp_path, "text": True, "capture_output": True}
    texts = []
    for _ in range(2):
        subprocess.run(["sh"], check=True, **given)
        texts.append({path: path.read_text() for path in deploy.rglob("*.Dockerfile")})
    assert texts[0] == texts[1] and len(texts[0]) == len(DOCKERFILES)
    for path, text in texts[0].items():
        stages = {"build", *re.findall(r"^FROM \S+ AS (\S+)", text, re.MULTILINE)}
        for image in re.findall(r"^FROM (\S+)", text, re.MULTILINE):
            assert image in stages or re.search(r"@sha256:[0-9a-f]{64}$", image), (path.name, image)
        before = (ROOT / path.relative_to(tmp_path)).read_text()
        assert re.sub(r"@sha256:\w+", "", text) == re.sub(r"@sha256:\w+", "", before)
    tool(tmp_path / "tools" / "docker", "exit 1")
    done = subprocess.run(["sh"], check=False, **given)
    assert done.returncode == 2 and done.stderr.count("\n") == 1 and "gives no digest for" in done.stderr


@pytest.mark.parametrize("step", ["release", "serve-live", "train-in-full"])
def test_nothing_is_deployed_unasked(step: str, tmp_path: Path) -> None:
    done = run(step, tmp_path)
    assert done.returncode == 0 and "_DEPLOY is false" in done.stdout
    assert not (tmp_path / "asked").exists()
