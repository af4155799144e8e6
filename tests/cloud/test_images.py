"""The Dockerfiles and the locks: hadolint's rules, small images, files that are there, one version everywhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import locked

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.lock",
    "deploy/requirements.lock",
    "deploy/requirements-gpu.lock",
    "deploy/serving/requirements.lock",
    "docs/requirements.lock",
)
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
    server = stages.pop("embedded.Dockerfile")  # which has packages of its own
    assert set(stages) == {"beam.Dockerfile", "trainer.Dockerfile"} and len(set(stages.values())) == 1
    assert server.replace("deploy/serving/requirements.lock", "deploy/requirements.lock") in stages.values()


def test_versions_are_the_same_everywhere() -> None:
    locks = [locked(ROOT / name) for name in LOCKS]
    for one in locks[1:]:
        differing = {name for name in one.keys() & locks[0].keys() if one[name] != locks[0][name]}
        assert not differing, "make lock"
    beam = f"FROM apache/beam_python3.11_sdk:{locks[1]['apache-beam']}[ @]"
    assert re.search(beam, (ROOT / "deploy/beam.Dockerfile").read_text())
    for name in ("stock", "scann"):
        image = rf"^FROM tensorflow/serving:{locks[1]['tensorflow-serving-api']}(@\S+)?$"
        assert re.search(image, (ROOT / f"deploy/serving/{name}.Dockerfile").read_text(), re.MULTILINE)


def test_locks_have_hashes_and_are_held_to_them() -> None:
    for name in LOCKS:
        text = (ROOT / name).read_text()
        packages = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
        assert len(packages) == len(locked(ROOT / name)) > 20
        assert all(re.search(r"^    --hash=sha256:[0-9a-f]{64}", one, re.MULTILINE) for one in packages)
    for path in DOCKERFILES:
        for line in re.findall(r"pip install .*--requirement.*", path.read_text()):
            assert "--require-hashes" in line, path.name


def test_the_servers_packages_are_few() -> None:
    """No pipeline, no search for settings, no cloud client and no plot is in the image that serves."""
    server, whole = (locked(ROOT / name) for name in ("deploy/serving/requirements.lock", "deploy/requirements.lock"))
    assert server.items() <= whole.items() and len(server) < len(whole) / 2
    unwanted = re.compile(
        r"apache-beam|optuna|google-(cloud|auth|api)|pyarrow|matplotlib|pandas|tensorflow-recommenders"
    )
    assert not [name for name in server if unwanted.match(name)]
