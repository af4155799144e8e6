"""Arrays between workers: they come back as they were, and a folder is there whole or not at all."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.sharding.array_folders import made_whole, read_array, read_numbers, save_array, write_arrays


@settings(deadline=None, max_examples=40)
@given(
    strings=st.lists(st.binary(max_size=6), max_size=8),
    numbers=st.lists(st.integers(-(2**62), 2**62), max_size=8),
    width=st.integers(1, 3),
)
def test_there_and_back(strings: list[bytes], numbers: list[int], width: int) -> None:
    texts = np.empty(len(strings), object)
    texts[:] = strings
    matrix = np.arange(width * len(numbers), dtype=np.float32).reshape(-1, width)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "arrays")
        write_arrays(
            path, {"texts": texts, "numbers": np.array(numbers, np.int64), "matrix": matrix}, count=len(strings)
        )
        assert read_array(path, "texts").tolist() == strings and read_array(path, "texts").dtype == object
        assert read_array(path, "numbers").tolist() == numbers
        assert np.array_equal(read_array(path, "matrix"), matrix) and read_numbers(path) == {"count": len(strings)}


def test_a_change_in_memory_leaves_the_file(tmp_path: Path) -> None:
    write_arrays(tmp_path / "a", {"one": np.zeros(3)})
    read_array(tmp_path / "a", "one")[0] = 1
    assert read_array(tmp_path / "a", "one").tolist() == [0, 0, 0]


def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), made_whole(tmp_path / "a") as aside:
        save_array(aside, "one", np.zeros(3))
        raise ValueError("broken")
    assert list(tmp_path.iterdir()) == []


def test_two_attempts_at_once(tmp_path: Path) -> None:
    with made_whole(tmp_path / "a") as one:
        with made_whole(tmp_path / "a") as other:
            save_array(other, "x", np.ones(2))
        save_array(one, "x", np.ones(2))
    assert [path.name for path in tmp_path.iterdir()] == ["a"] and read_array(tmp_path / "a", "x").tolist() == [1, 1]
