"""What the sdist and the wheel hold: the one command, all files of the three packages, and nothing else."""

from __future__ import annotations

import tarfile
import zipfile

import pytest

from tests.packages import PACKAGES, ROOT, SOURCES, Built, build


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build(tmp_path_factory.mktemp("sources"))


def test_all_of_the_packages_and_nothing_else(built: Built) -> None:
    files = {
        str(path.relative_to(ROOT))
        for name in PACKAGES
        for path in (ROOT / name).rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    } | {"multigrain.py"}
    names = zipfile.ZipFile(built.wheel).namelist()
    assert {name for name in names if ".dist-info/" not in name} == files
    assert sum(name.endswith(".dist-info/licenses/LICENSE") for name in names) == 1
    with tarfile.open(built.sdist) as archive:
        sent = {name.partition("/")[2] for name in archive.getnames()}
    assert files | set(SOURCES) <= sent


def test_the_extras_bring_the_cloud_side(built: Built) -> None:
    with zipfile.ZipFile(built.wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(name).decode().splitlines()
    needed = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    extra = [one.partition(";")[0] for one in needed if 'extra == "gcp"' in one]
    assert any(one.startswith("apache-beam[gcp]") for one in extra)
    assert any(one.startswith("google-cloud-aiplatform") for one in extra)
    assert not any(one.startswith("google-cloud") for one in needed if "extra ==" not in one)
