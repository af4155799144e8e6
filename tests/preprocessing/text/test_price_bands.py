"""A price's band around the median of its leaf."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.text.price_bands import PriceBands

LINES = [f"leaf/shoes\t{math.log(50)}", f"top/sports\t{math.log(100)}", f"all\t{math.log(10)}"]
BANDS = PriceBands.of_lines(LINES, 5, 2.0)


def bands(prices: list[float], leaf: str = "shoes", top: str = "sports") -> list[int]:
    leaves, tops = ([name] * len(prices) for name in (leaf, top))
    return BANDS(tf.constant(prices), tf.constant(leaves), tf.constant(tops)).numpy().tolist()


def test_the_middle_band_holds_the_median_and_each_is_twice_as_dear() -> None:
    assert bands([50.0, 40.0, 60.0]) == [3, 3, 3]
    assert bands([25.0, 100.0, 12.5, 200.0]) == [2, 4, 1, 5]
    assert bands([0.01, 1e6]) == [1, 5]


def test_no_price_is_0() -> None:
    assert bands([math.nan, 0.0, -3.0, math.inf]) == [0, 0, 0, 0]


def test_an_unknown_leaf_takes_its_tops_median_and_an_unknown_top_that_of_all() -> None:
    assert bands([100.0], leaf="hats") == bands([100.0], leaf="") == [3]
    assert bands([10.0], leaf="hats", top="home") == bands([10.0], "", "") == [3]


def test_the_file_is_read_alike_and_travels_with_a_saved_model(tmp_path: Path) -> None:
    (tmp_path / "price.txt").write_text("".join(f"{line}\n" for line in LINES))
    module = tf.Module()
    module.bands = PriceBands.of_file(str(tmp_path / "price.txt"), 5, 2.0)
    strings = tf.TensorSpec([None], tf.string)
    module.call = tf.function(module.bands, input_signature=[tf.TensorSpec([None]), strings, strings])
    tf.saved_model.save(module, str(tmp_path / "saved"))
    (tmp_path / "price.txt").unlink()
    prices = [5.0, 30.0, 90.0, math.nan]
    leaves, tops = ["shoes", "hats", "", "shoes"], ["", "sports", "", ""]
    found = tf.saved_model.load(str(tmp_path / "saved")).call(*map(tf.constant, (prices, leaves, tops)))
    assert found.numpy().tolist() == BANDS(*map(tf.constant, (prices, leaves, tops))).numpy().tolist()


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(2.0**-20, 2.0**20, width=32), min_size=2, max_size=20))
def test_what_is_dearer_is_never_in_a_lower_band(prices: list[float]) -> None:
    found = bands(sorted(prices))
    assert found == sorted(found)
    assert set(found) <= set(np.arange(1, 6).tolist())
