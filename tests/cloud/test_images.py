"""The Dockerfiles and the locks: hadolint's rules, small images, files that are there, one version everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCKERFILES = sorted((ROOT / "deploy").rglob("*.Dockerfile"))


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.stem)
def test_dockerfiles(path: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([linter, "--no-color", str(path)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")
    text = path.read_text()
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert "pip install" not in stages[-1], "an image carries its tools along"
    assert all("\nUSER " in stage for stage in stages if "\nCMD " in stage or "\nENTRYPOINT " in stage)
    ignored = (ROOT / ".dockerignore").read_text()
    for sources in re.findall(r"^COPY (?!--from)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists() and f"!{source.split('/')[0]}\n" in ignored, source


def test_packages_are_the_same_layers_in_all_images() -> None:
    """The stage that installs them is the same, letter by letter, so that one cache serves all."""
    stages = {}
    for path in DOCKERFILES:
        found = re.search(r"^FROM \S+ AS build\n.*?(?=^FROM )", path.read_text(), re.MULTILINE | re.DOTALL)
        if found:
            stages[path.name] = re.sub(r"^#.*\n", "", found[0], flags=re.MULTILINE)
    assert set(stages) == {"beam.Dockerfile", "embedded.Dockerfile", "trainer.Dockerfile"}
    assert len(set(stages.values())) == 1


def test_versions_are_the_same_everywhere() -> None:
    locks = [
        dict(line.split("==") for line in (ROOT / name).read_text().splitlines())
        for name in ("requirements.lock", "deploy/requirements.lock", "deploy/requirements-gpu.lock")
    ]
    for one in locks[1:]:
        differing = {name for name in one.keys() & locks[0].keys() if one[name] != locks[0][name]}
        assert not differing, "make lock"
    assert f"beam_python3.11_sdk:{locks[1]['apache-beam']} " in (ROOT / "deploy/beam.Dockerfile").read_text()
    for name in ("stock", "scann"):
        image = f"\nFROM tensorflow/serving:{locks[1]['tensorflow-serving-api']}\n"
        assert image in (ROOT / f"deploy/serving/{name}.Dockerfile").read_text()
