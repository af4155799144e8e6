"""cloudbuild.yaml, the Dockerfiles and the template: of the right types, and all that they name exists."""

from __future__ import annotations

import importlib
import itertools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from google.cloud.dataflow_v1beta3.types import ContainerSpec
from google.cloud.devtools.cloudbuild_v1.types import Build, BuildStep

from preprocessing.pipeline import arguments as pipeline_arguments
from trainer.submit import build

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cloudbuild.yaml").read_text()
BUILD = Build.from_json(json.dumps(yaml.safe_load(TEXT)), ignore_unknown_fields=False)
STEPS = {step.id: step for step in BUILD.steps}
DOCKERFILES = sorted((ROOT / "deploy").glob("*.Dockerfile"))
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
        for name, value in {**variables(), "image": "trainer", "lock": "requirements.lock"}.items():
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


def test_the_order_of_the_steps() -> None:
    assert len(STEPS) == len(BUILD.steps)
    seen: set[str] = set()
    for step in BUILD.steps:
        assert step.wait_for and set(step.wait_for) <= seen | {"-"}, step.id
        assert 0 < step.timeout.total_seconds() <= BUILD.timeout.total_seconds(), step.id
        seen.add(step.id)
    assert {"test", "audit", "beam-image", "evaluate"} == set(STEPS["gate"].wait_for)
    begun = [step.id for step in BUILD.steps if list(step.wait_for) == ["-"]]
    assert begun == ["test", "audit", "trainer-image", "beam-image"]


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
    for step, (module, *flags) in called("python -m"):
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
        if hasattr(found, "config"):
            assert (ROOT / found.config).exists()
    assert {"trainer.submit", "trainer.evaluate", "trainer.gate", "preprocessing.pipeline"} <= seen


def test_make_targets() -> None:
    ((_, words),) = called("su")
    for target in re.findall(r"make ([\w-]+)", words[-1]):
        assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE), target


def test_images() -> None:
    built = called("docker buildx build")
    assert {words[words.index("--file") + 1] for _, words in built} == {
        str(path.relative_to(ROOT)) for path in DOCKERFILES
    }
    for _, words in built:
        stages = re.findall(r"^FROM \S+ AS (\S+)", (ROOT / words[words.index("--file") + 1]).read_text(), re.MULTILINE)
        assert "--target" not in words or words[words.index("--target") + 1] in stages
        assert "--push" in words and words[-1] == "."
    for lock in re.search(r"for lock in (.*?);", STEPS["audit"].script)[1].split():  # type: ignore[index]
        assert (ROOT / lock).exists()


def run(step: str, folder: Path, **changes: str) -> subprocess.CompletedProcess[str]:
    """A step's script, here, with a `gcloud` that writes down what it is asked for."""
    tools = folder / "tools"
    tools.mkdir()
    for name, does in {"gcloud": f'echo "$@" >> {folder}/asked', "python": f'exec {sys.executable} "$@"'}.items():
        (tools / name).write_text(f"#!/bin/sh\n{does}\n")
        (tools / name).chmod(0o755)
    path = f"{tools}:{os.environ['PATH']}"
    environment = {**os.environ, **variables(**changes), "PATH": path, "PYTHONPATH": str(ROOT)}
    script = STEPS[step].script.replace("/tmp/", f"{folder}/")
    return subprocess.run(["sh"], input=script, env=environment, cwd=ROOT, capture_output=True, text=True, check=False)


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


def test_the_release(tmp_path: Path) -> None:
    done = run("release", tmp_path, _DEPLOY="true")
    assert done.returncode == 0, done.stderr
    asked = (tmp_path / "asked").read_text()
    for image in ("trainer", "trainer-gpu", "beam"):
        assert f"{variables()['_IMAGES']}/{image}:b1 {variables()['_IMAGES']}/{image}:live" in asked
    template = ContainerSpec.from_json((tmp_path / "preprocessing.json").read_text(), ignore_unknown_fields=False)
    assert template.image == template.default_environment.sdk_container_image == f"{variables()['_IMAGES']}/beam:b1"


@pytest.mark.parametrize("step", ["release", "train-in-full"])
def test_nothing_is_deployed_unasked(step: str, tmp_path: Path) -> None:
    done = run(step, tmp_path)
    assert done.returncode == 0 and "_DEPLOY is false" in done.stdout
    assert not (tmp_path / "asked").exists()


def test_the_template_takes_the_pipelines_flags() -> None:
    text = (ROOT / "deploy/dataflow/template.json").read_text()
    template = ContainerSpec.from_json(text, ignore_unknown_fields=False)
    assert template.sdk_info.language.name == "PYTHON"
    example = {
        "config": "/template/configs/demo.yaml",
        "input": "gs://bucket/raw",
        "output": "gs://bucket/data",
        "set": "preprocessing.split.eval_days=2",
    }
    parameters = {one.name: one for one in template.metadata.parameters}
    assert parameters.keys() == example.keys()
    assert [name for name, one in parameters.items() if one.is_optional] == ["set"]
    for name, one in parameters.items():
        assert all(re.fullmatch(regex, example[name]) for regex in one.regexes), name
    found, rest = pipeline_arguments([f"--{name}={value}" for name, value in example.items()])
    assert not rest and found.output == "gs://bucket/data"


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles(path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    text = path.read_text()
    final = text.split("\nFROM ")[1:]
    assert len(final) > 1, "one stage alone carries its tools along"
    assert all("\nUSER " in stage for stage in final if "\nCMD " in stage or "\nENTRYPOINT " in stage)
    ignored = (ROOT / ".dockerignore").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists() and f"!{source.split('/')[0]}\n" in ignored, source


def test_versions_are_the_same_everywhere() -> None:
    locks = [
        dict(line.split("==") for line in (ROOT / name).read_text().splitlines())
        for name in ("requirements.lock", "deploy/requirements.lock", "deploy/requirements-gpu.lock")
    ]
    for one in locks[1:]:
        differing = {name for name in one.keys() & locks[0].keys() if one[name] != locks[0][name]}
        assert not differing, "make lock"
    assert f"beam_python3.11_sdk:{locks[1]['apache-beam']} " in (ROOT / "deploy/beam.Dockerfile").read_text()


def test_the_launcher_of_the_template() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy/dataflow/launch.py"), "--config=/nowhere.yaml", "--input=a", "--output=b"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith("error: /nowhere.yaml: no such config file")


def test_every_public_module_is_packaged() -> None:
    from setuptools import find_packages

    packages: Any = find_packages(str(ROOT), include=["preprocessing*", "trainer*", "serving*"])
    assert {"preprocessing", "trainer", "trainer.cloud"} <= set(packages)
