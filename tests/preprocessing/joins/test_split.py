"""The moment that divides the log, and what a stray clock does to it: nothing."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import SplitConfig
from preprocessing.joins.split import Cuts, MergeHours, Split, eval_cut, split_of, validation_cut

DAY, HOUR = 86_400_000, 3_600_000
START, IN_2099, IN_2001 = 1_700_006_400_000, 4_080_000_000_000, 980_000_000_000


def split(times: list[int], workers: int = 3, config: SplitConfig | None = None) -> Split:
    """The split of some times, counted by some workers."""
    merge = MergeHours()
    parts = [merge.create_accumulator() for _ in range(workers)]
    for place, ts in enumerate(times):
        parts[place % workers] = merge.add_input(parts[place % workers], (ts // HOUR, (1, ts, ts)))
    return split_of(merge.extract_output(merge.merge_accumulators(parts)), config or SplitConfig(eval_days=3), 0)


def test_the_cut() -> None:
    assert eval_cut(0, 10 * DAY + 5, SplitConfig(eval_days=3), 0) == 8 * DAY
    assert eval_cut(0, 10 * DAY + 5, SplitConfig(eval_days=1), HOUR) == 10 * DAY - HOUR
    assert eval_cut(0, 1000, SplitConfig(eval_days=None, eval_share=0.25), 0) == 750
    assert validation_cut(0, 10 * DAY - 1, SplitConfig(), 0) == 9 * DAY
    assert validation_cut(0, 10 * DAY - 1, SplitConfig(validation_days=2), 0) == 8 * DAY
    assert validation_cut(0, 1000, SplitConfig(eval_days=None, eval_share=0.25), 0) == 900
    assert validation_cut(0, 1000, SplitConfig(validation_share=0.3), 0) == 700


def test_validation_ends_with_what_was_searched_before_evaluation_not_with_a_gap() -> None:
    times = [*(START + day * DAY for day in range(5)), START + 35 * DAY]
    found = split(times, config=SplitConfig(eval_days=1))
    assert found.cuts == (START + 4 * DAY, START + 35 * DAY)
    assert [found.cuts.split_of(ts) for ts in times] == ["train"] * 4 + ["validation", "eval"]


def test_no_label_comes_from_behind_the_next_cut() -> None:
    cuts = Cuts(10, 20)
    assert [cuts.end_of(ts) for ts in (0, 9, 10, 19, 20)] == [10, 10, 20, 20, float("inf")]


def test_a_log_without_searches_has_a_split_too() -> None:
    assert split([]) == (0, 0, (0, 0), 0)


@pytest.mark.parametrize("days", [1, 3, 40, 400])
@pytest.mark.parametrize("stray", [[IN_2099], [IN_2001], [IN_2099, IN_2001, IN_2099 + 1]])
def test_stray_clocks_move_nothing(days: int, stray: list[int]) -> None:
    draw = random.Random(days)
    times = [START + draw.randrange(days * DAY) for _ in range(1_000)]
    clean = split(times)
    assert split(times + stray) == clean._replace(stray=len(stray))
    share = SplitConfig(eval_days=None, eval_share=0.2)
    assert split(times + stray, config=share).cuts == split(times, config=share).cuts


def test_in_a_log_of_three_searches_too() -> None:
    assert split([START, START + 5 * DAY, IN_2099]) == (START, START + 5 * DAY, (START, START + 3 * DAY), 1)


def test_a_test_set_dated_a_month_behind_is_no_stray_clock() -> None:
    training = [START + number for number in range(1_000)]
    assert split([*training, START + 31 * DAY]).last == START + 31 * DAY


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 60 * 24), max_size=50), st.integers(1, 5), st.randoms())
def test_times_within_two_months_are_all_counted_whoever_counts_them(
    hours: list[int], workers: int, shuffle: random.Random
) -> None:
    times = [START + hour * HOUR + hour for hour in hours]
    shuffled = shuffle.sample(times, len(times))
    found = split(shuffled, workers)
    assert found == split(times, 1)
    if times:
        assert found[:2] == (min(times), max(times))
        assert found.stray == 0
