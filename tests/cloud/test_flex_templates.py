"""The flex templates: of Dataflow's own type, with the parameters that the commands take."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.cloud.dataflow_v1beta3.types import ContainerSpec, ParameterType

from preprocessing.pipeline import arguments as pipeline_arguments
from serving.batch.__main__ import arguments as batch_arguments
from serving.batch.__main__ import checked

ROOT = Path(__file__).parents[2]
PIPELINE = {
    "config": "/template/configs/demo.yaml",
    "input": "gs://bucket/raw",
    "output": "gs://bucket/data",
    "set": "preprocessing.split.eval_days=2",
}
BATCH = {
    "mode": "retrieve",
    "input": "gs://bucket/queries-*.jsonl",
    "model": "gs://bucket/models/retrieval",
    "output": "gs://bucket/answers",
    "format": "jsonl",
    "k": "50",
    "shards": "4",
    "columns": "query=text",
}
TEMPLATES: dict[str, tuple[dict[str, str], set[str], Callable[..., Any]]] = {
    "preprocessing": (PIPELINE, {"set"}, pipeline_arguments),
    "batch": (BATCH, {"format", "k", "shards", "columns"}, batch_arguments),
}


def template(name: str) -> ContainerSpec:
    text = (ROOT / f"deploy/dataflow/{name}.json").read_text()
    return ContainerSpec.from_json(text, ignore_unknown_fields=False)


def test_every_template_is_looked_at() -> None:
    assert {path.stem for path in (ROOT / "deploy/dataflow").glob("*.json")} == set(TEMPLATES)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_takes_the_commands_flags(name: str) -> None:
    example, optional, arguments = TEMPLATES[name]
    spec = template(name)
    assert spec.sdk_info.language.name == "PYTHON" and spec.metadata.name and spec.metadata.description
    assert spec.image == spec.default_environment.sdk_container_image == "@IMAGE@"
    parameters = {one.name: one for one in spec.metadata.parameters}
    assert len(parameters) == len(spec.metadata.parameters) and parameters.keys() == example.keys()
    assert {name for name, one in parameters.items() if one.is_optional} == optional
    for parameter, one in parameters.items():
        assert one.label and one.help_text and one.param_type != ParameterType.DEFAULT
        assert all(re.fullmatch(regex, example[parameter]) for regex in one.regexes), parameter
    found, rest = arguments([f"--{parameter}={value}" for parameter, value in example.items()])
    assert not rest and found.output == example["output"]


@pytest.mark.parametrize("mode", ["embed", "retrieve"])
def test_the_batch_template_suffices_for_either_mode(mode: str) -> None:
    needed = {name: BATCH[name] for name in ("mode", "input", "model", "output")} | {"mode": mode}
    flags, rest = batch_arguments([f"--{name}={value}" for name, value in needed.items()])
    checked(flags)
    assert not rest


MISTAKES = {
    "preprocessing": (["--config=/nowhere.yaml"], "error: /nowhere.yaml: no such config file"),
    "batch": (["--mode=embed", "--model=/nowhere"], "error: --model /nowhere: no version in it"),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_the_launcher_of_the_templates(name: str) -> None:
    flags, said = MISTAKES[name]
    done = subprocess.run(
        [sys.executable, str(ROOT / "deploy/dataflow/launch.py"), *flags, "--input=/a", "--output=/b"],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2 and done.stderr.startswith(said)
