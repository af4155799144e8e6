"""A model folder that was built, then changed without a build."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from serving.config import ServingConfig
from serving.export import export
from tests.serving.market import shelf

Config = Callable[..., ServingConfig]


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    files = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def changed(
    exported: Callable[[str], Path], data: str, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder whose version 1 was built and whose version 2 has a fresh item and tombstones."""
    folder = tmp_path_factory.mktemp("changed") / "retrieval"
    shutil.copytree(exported("scann"), folder)
    items = shelf(data)
    fresh, gone = folder.parent / "new.jsonl", folder.parent / "gone.txt"
    new = {"item_id": "NEW", "title": "zzq unicorn", "brand": "Zzb", "category_leaf": "zzleaf", "category_top": "t"}
    new |= {"price": 1e6}
    lines = [
        new,
        {"item_id": items.ids[0].decode(), "title": "known"},
        {"item_id": "OUT", "title": "o", "in_stock": False},
    ]
    fresh.write_text("\n".join(map(json.dumps, lines)))
    gone.write_text(f"{items.ids[3].decode()}\nnobody\n")
    settings = config("gate.max_regression=1")
    assert export(settings, None, data, str(folder), str(fresh), str(gone)) == 0
    return folder
