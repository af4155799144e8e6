"""A shop's synonyms: what their file says, and what a query then finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from preprocessing.words.expansion import Expansion
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.synonyms import Phrase, as_arrays, read_synonyms
from preprocessing.words.word_lists import build_word_lists
from preprocessing.words.word_search import WordSearch
from tests.preprocessing.words.plain_bm25 import Item, PlainBm25, ragged, words_of

BOOSTS = {"title": 1.0, "brand": 1.0, "description": 0.0}
FILE = """# the shop's own
tv, television, TV-set

trainers, gym shoes => running shoes, sneakers
c# => csharp
"""


def written(folder: Path, text: str) -> str:
    path = folder / "synonyms.txt"
    path.write_text(text)
    return str(path)


def search_over(items: list[Item], rules: dict[Phrase, list[Phrase]]) -> WordSearch:
    lists = build_word_lists(words_of(items), np.array(list(BOOSTS.values()), np.float32))
    return WordSearch(ListsInGraph(lists), Expansion(as_arrays(rules)))


def scores_of(search: WordSearch, queries: list[str], count: int) -> np.ndarray:
    """Of all items."""
    asked = search.asked(ragged(queries))
    return np.array(
        [search.scores_of(asked.part(place, place + 1), tf.range(count))[0].numpy() for place in range(len(queries))]
    ).reshape(len(queries), count)


def test_a_file(tmp_path: Path) -> None:
    found = read_synonyms(written(tmp_path, FILE), 256, 32)
    assert len(found.keys) == 3 + 2 + 1 + 1 and found.longest == 2 and found.alternatives == 3
    items = [Item(one) for one in ("tv", "television", "tv set", "trainers", "running shoes", "sneakers", "gym", "red")]
    lists = build_word_lists(words_of(items), np.array([1, 1, 0], np.float32))
    search = WordSearch(ListsInGraph(lists), Expansion(found))

    def rows(query: str) -> set[int]:
        return {row for row in search.search(search.asked(ragged([query])), tf.constant(8))[1].numpy()[0] if row >= 0}

    assert rows("television") == rows("tv") == rows("tv set") == {0, 1, 2}
    assert rows("trainers") == rows("gym shoes") == {4, 5}
    assert rows("gym") == {6} and rows("red trainers") == {4, 5, 7} and rows("running shoes") == {4}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a, b\nc => d => e\n", "line 2: expected one => at most, got 'c => d => e'"),
        ("alone\n", "line 1: expected several words or phrases with commas between, or a => b, got 'alone'"),
        ("a, , b\n", "line 1: nothing stands on one side of a comma or of =>, got 'a, , b'"),
        ("=> b\n", "line 1: nothing stands on one side of a comma or of =>, got '=> b'"),
        (", ".join(f"word{number}" for number in range(17)), "stands for more than 16 words"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(UserError, match="line") as told:
        read_synonyms(path, 256, 32)
    assert str(told.value).startswith(path) and said in str(told.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(UserError, match=r"serving\.channels\.words\.synonyms: /nowhere cannot be read"):
        read_synonyms("/nowhere", 256, 32)


VOCABULARY = ["red", "shoe", "bag", "tv", "set"]
phrases = st.lists(st.sampled_from([*VOCABULARY, "unheard"]), min_size=1, max_size=2).map(tuple)
rules_of = st.dictionaries(
    st.lists(st.sampled_from([*VOCABULARY, "unheard"]), min_size=1, max_size=3).map(tuple),
    st.lists(phrases, min_size=1, max_size=3),
    max_size=4,
)
text = st.lists(st.sampled_from(VOCABULARY), max_size=5).map(" ".join)
queries_of = st.lists(
    st.lists(st.sampled_from([*VOCABULARY, "unheard"]), max_size=6).map(" ".join), min_size=1, max_size=3
)


def replaced(query: str, rules: dict[Phrase, list[Phrase]]) -> list[list[Phrase]]:
    """The alternatives of each place of a query: from the left, the longest rule first."""
    words, found = query.split(), []
    while words:
        length = next((one for one in (3, 2, 1) if tuple(words[:one]) in rules and len(words) >= one), 0)
        found.append(rules[tuple(words[:length])] if length else [(words[0],)])
        words = words[length or 1 :]
    return found


@settings(deadline=None, max_examples=40)
@given(items=st.lists(text.map(Item), min_size=1, max_size=8), queries=queries_of, rules=rules_of)
def test_a_place_counts_as_its_best_alternative(
    items: list[Item], queries: list[str], rules: dict[Phrase, list[Phrase]]
) -> None:
    plain = PlainBm25(items, BOOSTS)
    scores = scores_of(search_over(items, rules), queries, len(items))
    for place, query in enumerate(queries):
        for row in range(len(items)):
            expected = sum(
                max(plain.score(" ".join(one), row) for one in alternatives) for alternatives in replaced(query, rules)
            )
            assert scores[place, row] == pytest.approx(expected, abs=0.1)


@settings(deadline=None, max_examples=20)
@given(items=st.lists(text.map(Item), min_size=1, max_size=8), queries=queries_of, rules=rules_of)
def test_what_is_found_has_its_score(items: list[Item], queries: list[str], rules: dict[Phrase, list[Phrase]]) -> None:
    search = search_over(items, rules)
    scores, rows = search.search(search.asked(ragged(queries)), tf.constant(len(items)))
    for found, its_rows, all_scores in zip(scores, rows, scores_of(search, queries, len(items)), strict=True):
        there = its_rows.numpy() >= 0
        assert sorted(its_rows.numpy()[there].tolist()) == np.flatnonzero(all_scores > 0).tolist()
        assert found.numpy()[there] == pytest.approx(all_scores[its_rows.numpy()[there]])
