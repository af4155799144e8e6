"""What the oracles know and do not know, and that taste is what a market's log cannot be read without."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks import oracles
from benchmarks.log_figures import TARGETS, log_figures, read_log
from preprocessing.command.console import UserError
from preprocessing.marketplace.world import World, make_world
from preprocessing.simulate import simulate

SIZE = {"items": 4_000, "users": 600, "days": 8, "seed": 5}


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("market")
    simulate(folder, **SIZE)
    return folder


@pytest.fixture(scope="module")
def world() -> World:
    return make_world(**SIZE, profile="marketplace")


def a_search(world: World, leaf: int, colour: int) -> oracles.Search:
    asked = np.array([colour, -1, -1, -1])
    nothing = np.zeros(0, np.int64)
    text = f"{world.lexicon.values[0][colour].query[0]} {world.lexicon.leaf_names[leaf].query[0]}"
    clicks = np.zeros(len(world.catalog.item_ids))
    return oracles.Search(text, 0, nothing, nothing, clicks, leaf, asked, nothing, nothing)


def test_the_oracle_of_leaves_puts_what_is_asked_first(world: World) -> None:
    scores = oracles.by_leaf(world, a_search(world, leaf=1, colour=2))
    right = (world.catalog.leaf == 1) & (world.catalog.values[:, 0] == 2)
    assert scores[right].min() > scores[~right].max()
    assert len(set(scores[right])) == 1  # it knows nothing more


def test_the_oracle_of_words_does_not_know_what_a_title_leaves_unsaid(world: World) -> None:
    search = a_search(world, leaf=1, colour=2)
    scores = oracles.by_words(world, search)
    right = (world.catalog.leaf == 1) & (world.catalog.values[:, 0] == 2)
    said = world.catalog.said[:, 0]
    assert scores[right & said].min() > scores[right & ~said].max()
    mouse = world.lexicon.leaves.index("computer_mouse"), world.lexicon.leaves.index("cat_toy")
    meant = oracles.by_words(world, search._replace(query="mouse", leaf=mouse[0], asked=np.full(4, -1)))
    assert set(world.catalog.leaf[meant > 0].tolist()) == set(mouse)


def test_clicks_after_the_same_words_count_before_other_clicks(world: World) -> None:
    search = a_search(world, leaf=1, colour=2)
    alike = np.flatnonzero((oracles.by_words(world, search) == 2) & (oracles.by_leaf(world, search) > 3))[:3]
    clicks = search.clicks.copy()
    clicks[alike[:2]] = 2
    scores = oracles.by_clicks(world, search._replace(clicks=clicks, same_words=alike[[1, 1]]))
    assert scores[alike[1]] > scores[alike[0]] > scores[alike[2]]


def test_ties_are_broken_at_random_and_only_what_is_for_sale_is_found(world: World) -> None:
    scores = np.ones(len(world.catalog.item_ids))
    random = np.random.default_rng(1)
    found = [oracles.best(scores, world, random) for _ in range(50)]
    assert world.catalog.in_stock[np.concatenate(found)].all()
    assert len(np.unique(np.concatenate(found))) > 400


def test_recall_and_relevance_by_hand(world: World) -> None:
    search = a_search(world, leaf=0, colour=0)
    right = np.flatnonzero((world.catalog.leaf == 0) & (world.catalog.values[:, 0] == 0))
    other = np.flatnonzero(world.catalog.leaf == 1)
    search = search._replace(ordered=right[:1], clicked=np.array([right[1], other[20]]))
    found = oracles.figures([np.concatenate([right[:5], other[:5]])], [search], world)
    assert found == {"recall_ordered": 1.0, "recall_clicked": 0.5, "recall": 0.75, "p_good": 0.5}


def test_taste_leads_by_far_and_the_past_tells_a_part_of_it(raw: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert oracles.main(["--raw", str(raw), "--searches", "600"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["hard_enough"] and result["lead_of_taste"] > oracles.LEAD
    recall = {name: one["recall"] for name, one in result["oracles"].items()}
    assert recall[oracles.TASTE] > recall[oracles.PAST] > recall["words, leaf and clicks"] > recall["words"]
    assert set(result["log"]) == set(TARGETS)


def test_figures_of_a_log_by_hand(raw: Path, world: World) -> None:
    found = log_figures(world, read_log(raw))
    log = read_log(raw)
    clicks = sum(one["action"] == "click" for one in log.actions)
    assert found["clicks_a_search"] == pytest.approx(clicks / len(log.searches))
    assert 0 < found["irrelevant_clicks"] < 0.3
    assert 0 < found["misspelt_queries"] < 0.2
    assert 0 < found["new_queries"] < 1


def test_a_folder_that_is_no_market_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"--raw {tmp_path}"):
        oracles.main(["--raw", str(tmp_path)])
