"""Every file and folder that a page names is there, and the picture of the rooms is that of today's code."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

from tests.e2e.market import ROOT
from tests.e2e.pages import PAGES, name_of

_TOPS = "preprocessing|trainer|serving|tests|benchmarks|configs|deploy|docs|examples"
_PATH = re.compile(rf"`((?:{_TOPS})/[\w./*-]*)`")
_ROOT_FILE = re.compile(r"`([\w.-]+\.(?:py|toml|lock)|Makefile|LICENSE|[A-Z]+\.md)`")


def _named(page: Path) -> list[str]:
    text = re.sub(r"^```.*?^```", "", page.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    return [*_PATH.findall(text), *_ROOT_FILE.findall(text)]


def _there(path: str) -> bool:
    return any(ROOT.glob(path.rstrip("/"))) if "*" in path else (ROOT / path).exists()


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_paths_exist(page: Path) -> None:
    assert [path for path in _named(page) if not _there(path)] == []


def test_paths_are_found() -> None:
    assert len(_named(ROOT / "docs" / "architecture.md")) > 40


def test_the_index_has_every_page() -> None:
    linked = set(re.findall(r"\]\((?:\.\./)?([\w-]+\.md)\)", (ROOT / "docs" / "README.md").read_text("utf-8")))
    pages = {page.name for page in PAGES} - {"README.md", "CHANGELOG.md"}
    assert linked == pages


def _drawing(name: str) -> ModuleType:
    path = ROOT / "docs" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(path.parent)  # as where it is run as a script
        spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def drawing() -> ModuleType:
    return _drawing("draw_rooms")


@pytest.mark.parametrize("name", ["draw_rooms", "draw_day"])
def test_a_picture_is_that_of_the_code(name: str) -> None:
    drawn = _drawing(name)
    assert drawn.PICTURE.read_text("utf-8") == drawn.picture(), f"run python docs/{name}.py"


def test_both_walks_are_drawn_step_by_step(drawing: ModuleType) -> None:
    rooms = drawing.steps()
    named = {step for steps in rooms.values() for step in steps}
    written = re.findall(r"^\* \*\*([QC]\d+)\*\*", drawing.PAGE.read_text("utf-8"), re.MULTILINE)
    assert written == [f"Q{n}" for n in range(1, 13)] + [f"C{n}" for n in range(1, 16)]
    assert named == set(written), "a step without a file"
    drawn = drawing.picture()
    assert [step for step in written if f">{step}</text>" not in drawn] == []
