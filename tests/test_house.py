"""The rules of the layout: import-linter's contracts bite, files stay short, names are told apart, tests mirror."""

from __future__ import annotations

import ast
import collections
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.packages import PACKAGES, ROOT

LONGEST = 300  # lines
# One name in several places where it means the same thing in each.
SHARED_NAMES = {"__init__", "__main__", "config"}
MODULES = [path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py"))]
ROOMS = [path.parent for path in MODULES if path.name == "__init__.py"]


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", MODULES, ids=_name)
def test_a_module_is_short_and_says_what_it_is(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= LONGEST
    assert ast.get_docstring(ast.parse(text))


def test_no_two_modules_have_one_name() -> None:
    paths = collections.defaultdict(list)
    for path in MODULES:
        paths[path.stem].append(_name(path))
    assert {stem: found for stem, found in paths.items() if len(found) > 1 and stem not in SHARED_NAMES} == {}


def test_every_folder_of_modules_is_a_package() -> None:
    assert {path.parent for path in MODULES} == set(ROOMS)


def test_tests_lie_in_the_rooms_they_test() -> None:
    rooms = {_name(room) for room in ROOMS}
    folders = {path.parent for name in PACKAGES for path in (ROOT / "tests" / name).rglob("test_*.py")}
    assert {str(folder.relative_to(ROOT / "tests")) for folder in folders} - rooms == set()


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The packages and their contracts, without anything else."""
    folder = tmp_path_factory.mktemp("house")
    for name in PACKAGES:
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture
def house(pristine: Path, tmp_path: Path) -> Path:
    return shutil.copytree(pristine, tmp_path / "house")


def _lint_imports(folder: Path) -> tuple[int, str]:
    """The status and the words of `lint-imports` over the packages in a folder."""
    run = "import sys; from importlinter.cli import lint_imports_command; sys.exit(lint_imports_command())"
    done = subprocess.run(
        [sys.executable, "-c", run, "--no-cache"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


ONE_WAY, ALONE = "Data flows one way between the packages", "The client stands alone"
FORBIDDEN = {
    "preprocessing knows of no trainer": ("preprocessing/text/added.py", "import trainer.config", ONE_WAY),
    "serving knows of no trainer": ("serving/release/added.py", "import trainer.models", ONE_WAY),
    "trainer knows of no serving": ("trainer/job/added.py", "from serving import config", ONE_WAY),
    "the client has no numpy": ("serving/client.py", "import numpy", ALONE),
    "nor has its library": ("serving/retriever/added.py", "import serving.inputs", ALONE),
    "logs know of no joins": ("preprocessing/logs/added.py", "import preprocessing.joins", "preprocessing"),
    "towers know of no models": ("trainer/towers/added.py", "def f():\n    from trainer import models", "trainer"),
    "an index knows of no release": ("serving/index/added.py", "import serving.release", "serving"),
    "a file at the door has its place": ("serving/added.py", "", "serving"),
}


@pytest.mark.parametrize("case", FORBIDDEN)
def test_a_forbidden_import_is_found_and_named(case: str, house: Path) -> None:
    path, line, contract = FORBIDDEN[case]
    with (house / path).open("a") as file:  # added.py is new
        file.write(f"\n{line}\n")
    status, said = _lint_imports(house)
    assert status == 1, said
    broken = [one for one in said.splitlines() if one.endswith("BROKEN")]
    assert len(broken) == 1 and contract in broken[0], said
    assert path.removesuffix(".py").replace("/", ".") in said


def test_without_it_nothing_is_found(house: Path) -> None:
    status, said = _lint_imports(house)
    assert status == 0, said
    assert "0 broken" in said
