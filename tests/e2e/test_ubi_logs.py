"""Real logs in the open schema, with and without a catalogue."""

from __future__ import annotations

from pathlib import Path

import pytest

from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from tests.e2e import market

SHARED = market.ROOT.parent / "shared" / "data"


def run(name: str, folder: str, data: Path) -> market.Record:
    raw = SHARED / folder
    if not raw.exists():
        pytest.skip(f"{raw} is not there")
    settings = load_section(str(market.ROOT / "configs" / name), "preprocessing", PreprocessingConfig)
    stats = market.process(raw, data, settings=settings)
    for stream in stats["streams"].values():
        left_out = sum(stream["rejected"].values()) + sum(stream["excluded"].values())
        assert stream["in"] == stream["used"] + left_out
    assert (data / "_SUCCESS").exists()
    return stats


def test_items_known_by_id_alone(tmp_path: Path) -> None:
    stats = run("ubi.yaml", "ubi", tmp_path)
    assert stats["streams"]["impressions"]["in"] == 1_999
    assert stats["examples"]["train"] > 50
    assert stats["examples"]["eval"] > 5
    assert stats["lengths"]["shown"]["mean"] > 3
    items = market.examples(tmp_path, "catalog")
    assert len(items) == stats["items"] > 500
    assert all(one["title"] == [b""] and one["brand"] == [0] for one in items)


def test_another_dialect_with_a_catalogue(tmp_path: Path) -> None:
    stats = run("chorus.yaml", "chorus", tmp_path)
    assert stats["streams"]["catalog"]["used"] == 19_406
    assert stats["streams"]["searches"]["in"] == 4_130
    assert stats["examples"]["train"] > 2_000
    assert stats["examples"]["eval"] > 300
    titled = [one for one in market.examples(tmp_path, "train") if one.get("clicked_title_word")]
    assert len(titled) == stats["examples"]["train"]
