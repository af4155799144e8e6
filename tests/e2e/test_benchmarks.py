"""How the proofs on real data count, by hand."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import judged, movielens
from benchmarks.ablation_rows import ROWS, Row
from benchmarks.claims import CLAIMS, claims_table, rivals
from preprocessing.adapters.movielens import TEST_AT
from preprocessing.adapters.raw_folder import ACTIONS, SEARCHES
from preprocessing.command.experiment import load_section
from tests.e2e.market import ROOT
from trainer.config import TrainerConfig


def test_a_film_counts_by_its_place_and_without_seen_by_its_place_among_the_others() -> None:
    ranked = np.arange(300)[None].repeat(4, axis=0)
    targets = np.array([99, 100, 100, -1])
    assert movielens.hits(ranked, targets, None).tolist() == [1, 0, 0, 0]
    assert movielens.hits(ranked, targets, [set(), set(), {7}, {7}]).tolist() == [1, 0, 1, 0]


def test_training_ratings_are_spread_before_the_test_and_test_ratings_stay(tmp_path: Path) -> None:
    times = [TEST_AT - 7, TEST_AT - 6, TEST_AT - 5, TEST_AT]
    adapted, raw = tmp_path / "adapted", tmp_path / "raw"
    adapted.mkdir()
    lines = [{"request_id": str(n), "user_id": "u", "ts": ts} for n, ts in enumerate(times)]
    for name in (SEARCHES, ACTIONS):
        with gzip.open(adapted / name, "wt") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
    movielens.spread(adapted, raw, seed=1)
    found = movielens._lines(raw / SEARCHES)
    assert found == movielens._lines(raw / ACTIONS)
    spread = sorted(one["ts"] for one in found[:3])
    assert len(set(spread)) == 3
    assert spread[0] > TEST_AT - 29 * 86_400_000
    assert spread[-1] == TEST_AT - 3_600_000
    assert found[3] == lines[3]


def test_recall_of_a_query_is_the_share_of_its_items_within_k() -> None:
    rows = np.concatenate([np.arange(100, 110), np.arange(10)])[None]
    assert judged.recall(rows, [np.array([100, 109, 0, 55])])[0].tolist() == pytest.approx([0.5, 0.75, 0.75])


@pytest.mark.parametrize("row", [row for row in ROWS if row.overrides], ids=lambda row: row.name)
def test_a_row_of_the_ablation_changes_its_config(row: Row) -> None:
    path = str(ROOT / "configs" / f"{row.config}.yaml")
    whole = load_section(path, "trainer", TrainerConfig)
    less = load_section(path, "trainer", TrainerConfig, [f"trainer.{one}" for one in row.overrides])
    assert less != whole and len({other.name for other in ROWS}) == len(ROWS)


def test_claims_are_about_rows_of_the_ablation_that_have_every_seed() -> None:
    main = {row.name for row in ROWS if row.main}
    assert {name for claim in CLAIMS for name in (claim.whole, claim.less)} <= main
    assert all(claim.less in rivals(claim.whole) for claim in CLAIMS)


@pytest.mark.parametrize(
    "low, high, said", [(0.01, 0.02, "comes out"), (-0.02, -0.01, "does not"), (-0.01, 0.01, "cannot be told")]
)
def test_an_interval_decides_a_claim(low: float, high: float, said: str) -> None:
    difference = {"mean": (low + high) / 2, "low": low, "high": high}
    minus: dict[str, Any] = {}
    for claim in CLAIMS:
        minus.setdefault(claim.whole, {}).setdefault(claim.less, {})[claim.figure] = difference
    table = list(claims_table(minus, {row.name: row.says for row in ROWS}))
    assert sum(line.endswith(f"| {said} |") for line in table) == len(CLAIMS)
