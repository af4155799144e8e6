"""Vectors from elsewhere by the ids of a vocabulary, and what share of it they cover."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.command.console import UserError
from trainer.config_models import WordTableConfig
from trainer.data.dataset import catalog, requests
from trainer.data.word_vectors import count_words, read_word_vectors


@pytest.fixture(scope="module")
def words(data: str) -> list[str]:
    return Path(data, "vocab", "word.txt").read_text().splitlines()


def _write(path: Path, words: list[str]) -> str:
    rows = np.random.default_rng(3).normal(size=(len(words), 6)) * 7
    path.write_text("".join(f"{word} {' '.join(map(str, row))}\n" for word, row in zip(words, rows, strict=True)))
    return str(path)


def test_each_word_has_its_own_vector_on_the_scale_of_tables(
    data: str, spec: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = _write(tmp_path / "some.txt", words[::2])
    found = read_word_vectors(WordTableConfig(vectors=path), data, "key")
    first = 1 + spec["vocabularies"]["word"]["hash_buckets"]
    assert found.rows.shape == (spec["vocabularies"]["word"]["ids"], 6) and found.rows.dtype == np.float32
    given = np.loadtxt(path, usecols=range(1, 7))
    mine = found.rows[first:][::2]
    np.testing.assert_allclose(mine / mine[0, 0], given / given[0, 0], rtol=1e-4)
    assert np.sqrt(np.mean(mine**2)) == pytest.approx(0.1, rel=1e-4)
    assert not found.rows[:first].any() and not found.rows[first:][1::2].any()


def test_shares_of_words_and_of_what_is_said(data: str, words: list[str], tmp_path: Path) -> None:
    found = read_word_vectors(WordTableConfig(vectors=_write(tmp_path / "one.txt", words[:1])), data, "key")
    said = [batch["query_word"].flat_values.numpy() for batch in requests(data, "train", 512, ["query_word"])]
    said += [batch["title_word"].flat_values.numpy() for batch in catalog(data, 512, ["title_word"])]
    ids = np.concatenate(said)
    assert found.of_words == pytest.approx(1 / len(words))
    assert found.of_occurrences == pytest.approx(np.mean(ids == len(found.rows) - len(words)))


def test_rarity_weighs_each_word_by_its_own_odds(
    data: str, spec: dict[str, Any], words: list[str], tmp_path: Path
) -> None:
    path = _write(tmp_path / "all.txt", words)
    plain, rare = (
        read_word_vectors(WordTableConfig(vectors=path, rarity=on), data, "key").rows for on in (False, True)
    )
    counts = count_words(data, spec["vocabularies"]["word"]["ids"])
    wanted = 1e-3 / (1e-3 + counts / counts.sum())
    ratios = np.linalg.norm(rare, axis=1)[-len(words) :] / np.linalg.norm(plain, axis=1)[-len(words) :]
    np.testing.assert_allclose(ratios / ratios[0], wanted[-len(words) :] / wanted[-len(words)], rtol=1e-4)


def test_a_file_without_any_of_the_words_is_the_wrong_one(data: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"key: .*other\.txt has none of the .* words"):
        read_word_vectors(WordTableConfig(vectors=_write(tmp_path / "other.txt", ["qqq"])), data, "key")
