"""The documentation as a site: every page is named once, and what lies beside docs/ is linked as it lies there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.e2e.market import ROOT
from tests.e2e.pages import PAGES

_SITE = yaml.load((ROOT / "mkdocs.yml").read_text(), yaml.BaseLoader)  # its tags are mkdocs' own


@pytest.fixture(scope="module")
def hooks() -> ModuleType:
    (path,) = _SITE["hooks"]
    spec = importlib.util.spec_from_file_location("site_links", ROOT / path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def named(entry: Any) -> list[str]:
    """The pages of a part of the navigation."""
    if isinstance(entry, str):
        return [entry]
    parts = entry.values() if isinstance(entry, dict) else entry
    return [page for part in parts for page in named(part)]


def test_the_navigation_names_every_page_once() -> None:
    pages = named(_SITE["nav"])
    assert len(pages) == len(set(pages))
    beside = {page.name for page in PAGES if page.parent == ROOT} - {"README.md"}  # docs/README.md is the first page
    assert set(pages) == {page.name for page in (ROOT / "docs").glob("*.md")} | beside


def test_it_is_strict_and_loads_nothing_from_elsewhere() -> None:
    assert _SITE["strict"] == "true" and set(_SITE["validation"].values()) == {"warn"}
    assert _SITE["theme"]["font"] == "false"


def test_links_lead_from_the_sites_root(hooks: ModuleType) -> None:
    docs = ROOT / "docs"
    assert hooks.inside("[a](export.md#x) [b](../CONTRIBUTING.md)", docs) == "[a](export.md#x) [b](CONTRIBUTING.md)"
    assert (
        hooks.inside("![c](docs/page.png) [d](https://x.org/docs/a)", ROOT)
        == "![c](page.png) [d](https://x.org/docs/a)"
    )
    assert hooks.linked("[e](../examples/notebook.py) [f](export.md) [g](../deploy)", docs) == {
        ROOT / "examples/notebook.py"
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_outside_of_the_site_is_linked(page: Path, hooks: ModuleType) -> None:
    """But files, which the site then has."""
    there = {*(one.name for one in (ROOT / "docs").iterdir()), "results", *hooks.PAGES}
    for link in hooks._LINK.findall(hooks.inside(page.read_text(), page.parent)):
        assert link.split("/")[0] in there or (ROOT / link).is_file(), link
