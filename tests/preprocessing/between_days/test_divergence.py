"""How far apart two samples are: by hand, and of one distribution never past what sampling gives."""

from __future__ import annotations

import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.between_days.divergence import Values, drift, jensen_shannon, shares
from preprocessing.config import DriftConfig


def _values(words: list[str], owners: list[int] | None = None) -> Values:
    whose = np.arange(len(words)) if owners is None else np.array(owners)
    return Values(pa.array([word.encode() for word in words], pa.binary()), whose)


def _drawn(random: np.random.Generator, odds: np.ndarray, users: int, each: int) -> Values:
    """Of each user some values, half of which are one that the user likes."""
    likes = random.choice(len(odds), users, p=odds)
    drawn = random.choice(len(odds), (users, each), p=odds)
    drawn = np.where(random.random((users, each)) < 0.5, likes[:, None], drawn)
    return Values(pa.array([b"%d" % one for one in drawn.ravel()], pa.binary()), np.repeat(np.arange(users), each))


def test_by_hand() -> None:
    """p = (3/4, 1/4), q = (1/4, 3/4): the middle is even, 1 bit; each has 2 - 3/4 log2 3."""
    first, second = np.array([0.75, 0.25]), np.array([0.25, 0.75])
    assert jensen_shannon(first, second) == pytest.approx(1 - (2 - 0.75 * math.log2(3)))
    found = drift(_values(["a", "a", "a", "b"]), _values(["b", "c", "b", "b"]), seed=1)
    a, b, c = 3 / 4, 1 / 4, 0
    x, y, z = 0, 3 / 4, 1 / 4
    assert found.bits == pytest.approx(jensen_shannon(np.array([a, b, c]), np.array([x, y, z])))


def test_shares_of_values_that_one_day_alone_has() -> None:
    both = shares(_values(["a", "b", "a", "a"]), _values(["c", "b"]))
    assert dict(zip(both.values, zip(both.before, both.now, strict=True), strict=True)) == {
        b"a": (0.75, 0.0),
        b"b": (0.25, 0.5),
        b"c": (0.0, 0.5),
    }


def test_nothing_in_common_is_one_bit_and_the_same_is_none() -> None:
    assert drift(_values(["a"] * 50), _values(["b"] * 50), seed=1).bits == 1.0
    assert drift(_values(["a", "b"] * 50), _values(["b", "a"] * 50), seed=1).bits == 0.0
    assert drift(_values([]), _values([]), seed=1) == (0.0, 0.0)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    distinct=st.integers(2, 3_000),
    tail=st.floats(0, 2),
    users=st.tuples(st.integers(100, 1_500), st.integers(100, 1_500)),
    each=st.integers(1, 5),
)
def test_other_samples_of_one_distribution_are_no_drift(
    seed: int, distinct: int, tail: float, users: tuple[int, int], each: int
) -> None:
    random = np.random.default_rng(seed)
    odds = 1.0 / np.arange(1, distinct + 1) ** tail
    before, now = (_drawn(random, odds / odds.sum(), some, each) for some in users)
    found = drift(before, now, seed)
    assert found.bits < found.floor + min(DriftConfig().model_dump().values())


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), distinct=st.integers(20, 2_000), users=st.integers(200, 1_500))
def test_a_third_of_the_requests_for_something_else_is(seed: int, distinct: int, users: int) -> None:
    random = np.random.default_rng(seed)
    odds = 1.0 / np.arange(1, distinct + 1)
    before = _drawn(random, odds / odds.sum(), users, 3)
    now = _drawn(random, odds / odds.sum(), users, 3)
    words = np.array(now.strings.to_pylist(), object)
    words[::3] = b"something else"
    found = drift(before, Values(pa.array(words, pa.binary()), now.owners), seed)
    assert found.bits > found.floor + 0.1


def test_a_seed_is_a_floor() -> None:
    random = np.random.default_rng(3)
    before, now = (_drawn(random, np.full(500, 1 / 500), 300, 2) for _ in range(2))
    assert drift(before, now, seed=5) == drift(before, now, seed=5)
    assert drift(before, now, seed=5).bits == drift(before, now, seed=6).bits
    assert drift(before, now, seed=5).floor != drift(before, now, seed=6).floor


def test_whole_users_are_divided() -> None:
    """Ten users who each ask for one thing a hundred times differ by chance more than a thousand who ask once."""
    asked = [f"{user}" for user in range(10) for _ in range(100)]
    together = [user for user in range(10) for _ in range(100)]
    of_users = drift(_values(asked, together), _values(asked, together), seed=1)
    of_values = drift(_values(asked), _values(asked), seed=1)
    assert of_users.floor > 10 * of_values.floor
