"""A catalogue of clones: as many items as were asked for, the first as they were, all others of their leaf's words."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import cloned_items
from tests.serving.market import shelf, words_of


def test_clones(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = market / "data"
    monkeypatch.setattr(cloned_items, "_A_FILE", 500)
    before = shelf(str(data))
    cloned_items.write_clones(data, tmp_path / "data", 1_200)
    found = shelf(str(tmp_path / "data"))
    size = len(before.ids)
    assert len(list((tmp_path / "data").glob("catalog-*"))) == 3
    assert len(found.ids) == len(set(found.ids)) == 1_200
    assert (found.ids[:size], found.titles[:size]) == (before.ids, before.titles)
    of_leaf: dict[bytes, set[bytes]] = {}
    for leaf, title in zip(before.leaves, before.titles, strict=True):
        of_leaf.setdefault(leaf, set()).update(words_of(title))
    for row in range(size, 1_200, 37):
        assert found.leaves[row] == before.leaves[row % size]
        assert words_of(found.titles[row]) <= of_leaf[found.leaves[row]]
    assert len(set(found.titles)) > 2 * len(set(before.titles))
    cloned_items.write_clones(data, tmp_path / "again", 1_200)
    for path in sorted((tmp_path / "data").glob("catalog-*")):
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()
