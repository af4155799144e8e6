"""What was meant by a word that no item has."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocessing.words import corrections
from preprocessing.words.corrections import Corrections, build_spellings
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.word_lists import build_word_lists
from preprocessing.words.word_search import WordSearch
from tests.preprocessing.words.plain_bm25 import Item, ragged, words_of

TITLES = [
    "adidas shoe",
    "adidas samba",
    "adibas",
    "trainers red",
    "иваново",
    "iphone15 case",
    "bags",
    "laptop",
    "black",
]


@pytest.fixture(scope="module")
def search() -> WordSearch:
    items = [Item(title) for title in TITLES]
    lists = build_word_lists(words_of(items), np.array([1, 1, 0], np.float32))
    spellings = {word.encode() for title in TITLES for word in title.split()}
    return WordSearch(
        ListsInGraph(lists), corrections=Corrections(build_spellings(spellings, lists.terms, lists.weights))
    )


def found(search: WordSearch, queries: list[str]) -> list[list[str]]:
    """The titles that queries find."""
    call = tf.function(lambda words: search.search(search.asked(words), tf.constant(3))[1], autograph=False)
    rows = call.get_concrete_function(tf.RaggedTensorSpec([None, None], tf.string, 1))(ragged(queries))
    return [[TITLES[row] for row in one if row >= 0] for one in rows.numpy()]


def test_the_nearest_word_is_meant(search: WordSearch) -> None:
    """Of equally near ones the more frequent; also in other scripts, and beside words that are known."""
    assert found(search, ["addidas"])[0][0].startswith("adidas")
    assert found(search, ["trainres", "blak", "ивановa", "red laptpo"]) == [
        ["trainers red"],
        ["black"],
        ["иваново"],
        ["laptop", "trainers red"],
    ]


@pytest.mark.parametrize("query", ["bgs", "iphone16", "tablecloth", "blackboard", "zzzzzz"])
def test_what_is_not_near_is_not_guessed(search: WordSearch, query: str) -> None:
    """Nor are numbers, and short words."""
    assert found(search, [query]) == [[]]


def test_a_known_word_is_left_alone(search: WordSearch) -> None:
    assert found(search, ["adibas"]) == [["adibas"]]


def test_a_request_is_corrected_by_itself(search: WordSearch) -> None:
    queries = ["addidas", "shoe", "", "blak samba"]
    assert found(search, queries) == [found(search, [query])[0] for query in queries]


@settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.text("adibsklptoин1", min_size=1, max_size=9), min_size=1, max_size=7))
def test_words_are_corrected_as_each_alone(search: WordSearch, words: list[str]) -> None:
    """However many go together, and also where one repeats a pair of letters or another word."""
    assert search.corrections is not None
    call = search.corrections
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corrections, "_TOGETHER", 3)
        together = call(tf.constant([[word] for word in words]), tf.fill([len(words), 1], True)).numpy()
    alone = [call(tf.constant([[word]]), tf.constant([[True]])).numpy()[0].tolist() for word in words]
    assert together.tolist() == alone
