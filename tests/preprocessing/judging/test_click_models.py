"""Click models on clicks that are drawn from a known one: the places are found, and taken out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.judging.click_models import Counts, examination, expected_clicks, scores

LOOKED_AT = np.array([1.0, 0.6, 0.4, 0.3, 0.2])
PAIRS, PAGES = 400, 120_000


def drawn(usual: str) -> tuple[Counts, np.ndarray]:
    """Clicks by the position-based model, and how much each item attracts; most often it is at its `usual` place."""
    random = np.random.default_rng(3)
    attracts = random.beta(1, 6, PAIRS)
    pair = random.integers(0, PAIRS, PAGES)
    anywhere = random.integers(0, len(LOOKED_AT), PAGES)
    better = np.argsort(np.argsort(-attracts))[pair] * len(LOOKED_AT) // PAIRS
    wanted = {"anywhere": anywhere, "better first": better, "its own": pair % len(LOOKED_AT)}[usual]
    place = np.where(random.random(PAGES) < 0.7, wanted, anywhere)
    clicked = random.random(PAGES) < attracts[pair] * LOOKED_AT[place]
    code, where = np.unique(pair * len(LOOKED_AT) + place, return_inverse=True)
    shown, clicks = np.bincount(where).astype(float), np.bincount(where, clicked)
    return Counts(code // len(LOOKED_AT), code % len(LOOKED_AT), shown, clicks), attracts


def rates(counts: Counts) -> np.ndarray:
    return counts.of_places(counts.clicked) / counts.of_places(counts.shown)


def error(found: np.ndarray) -> float:
    return float(np.abs(found / found[0] - LOOKED_AT).max())


def test_where_items_stand_anywhere_each_model_finds_the_places() -> None:
    counts, _ = drawn("anywhere")
    assert error(expected_clicks(counts, "coec")) < 0.05
    assert error(expected_clicks(counts, "pbm")) < 0.05


def test_where_better_items_stand_higher_only_the_position_based_model_does() -> None:
    counts, _ = drawn("better first")
    assert error(expected_clicks(counts, "coec")) > 0.1
    assert error(examination(counts, rates(counts))) < 0.08


def test_where_each_item_has_its_own_place_its_score_says_more_than_its_click_rate() -> None:
    counts, attracts = drawn("its own")
    of_model = scores(counts, expected_clicks(counts, "pbm"))
    of_rate = counts.of_pairs(counts.clicked) / counts.of_pairs(counts.shown)
    assert np.corrcoef(of_model, attracts)[0, 1] > np.corrcoef(of_rate, attracts)[0, 1] + 0.02


@pytest.mark.parametrize("model", ["coec", "pbm"])
def test_what_is_expected_is_in_all_what_was_clicked(model: str) -> None:
    counts, _ = drawn("better first")
    expected = expected_clicks(counts, model)  # type: ignore[arg-type]
    assert (counts.shown * expected[counts.place]).sum() == pytest.approx(counts.clicked.sum())


def test_of_what_was_hardly_shown_little_is_believed() -> None:
    counts = Counts(np.array([0, 1, 2]), np.zeros(3, int), np.array([1.0, 100.0, 100.0]), np.array([1.0, 50.0, 0.0]))
    seldom, often, never = scores(counts, np.array([0.25])).tolist()
    assert (seldom, often, never) == (pytest.approx(0.8), pytest.approx(50 / 26), 0.0)


@given(
    rows=st.lists(
        st.tuples(st.integers(0, 5), st.integers(0, 4), st.integers(1, 1_000), st.floats(0, 1)), min_size=1, max_size=30
    )
)
def test_scores_are_finite_and_never_below_nought(rows: list[tuple[int, int, int, float]]) -> None:
    pair, place, shown, share = (np.array(column) for column in zip(*rows, strict=True))
    counts = Counts(pair, place, shown.astype(float), np.floor(shown * share))
    for model in ("coec", "pbm"):
        found = scores(counts, expected_clicks(counts, model))  # type: ignore[arg-type]
        assert np.isfinite(found).all() and (found >= 0).all()
