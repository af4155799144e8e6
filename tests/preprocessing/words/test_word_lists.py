"""Inverted lists of words: of a part of a catalogue, of descriptions, and as texts are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.words import word_lists
from preprocessing.words.build_word_search import build_word_search, corrected_to
from preprocessing.words.config import FieldsConfig, WordsConfig
from preprocessing.words.item_words import ItemWords, read_words, word_hashes
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.word_lists import (
    WordLists,
    build_word_lists,
    count_words,
    lists_of_part,
    terms_in,
    terms_of,
)
from preprocessing.words.word_search import WordSearch
from tests.preprocessing.words.plain_bm25 import Item, ragged, words_of

KINDS = ("word", "described")
DESCRIBED = FieldsConfig(description=0.5).boosts
text = st.lists(st.sampled_from(["red", "blue", "shoe", "bag"]), max_size=5).map(" ".join)
items_of = st.lists(st.builds(Item, text, st.sampled_from(["", "acme", "red"]), text), min_size=1, max_size=14)


def hash_of(word: str) -> np.ndarray:
    return word_hashes(tf.constant([word])).numpy()[0]


def scores(lists: WordLists, query: str) -> np.ndarray:
    """Of all items."""
    search = WordSearch(ListsInGraph(lists))
    return search.scores_of(search.asked(ragged([query])), tf.range(lists.items))[0].numpy()


def part_of(words: ItemWords, rows: np.ndarray) -> WordLists:
    """The lists of some items, made by what is known of all."""
    whole = terms_in(count_words(words, DESCRIBED), len(words), DESCRIBED)
    return lists_of_part(count_words(words.part(rows), DESCRIBED), len(rows), whole)


@settings(deadline=None, max_examples=30)
@given(items=items_of, kept=st.integers(1, 2**14 - 1))
def test_a_part_is_weighed_as_the_whole(items: list[Item], kept: int) -> None:
    """Each item has the score that it has in the whole catalogue; a word that only others have is known still."""
    words = words_of(items)
    whole = build_word_lists(words, DESCRIBED)
    rows = np.array([row for row in range(len(items)) if kept >> row & 1], np.int64)
    part = part_of(words, rows)
    assert part.items == len(rows) and np.array_equal(part.terms, whole.terms)
    for query in ("red", "blue shoe", "acme bag unheard"):
        assert np.array_equal(scores(part, query), scores(whole, query)[rows])


def test_a_part_has_long_terms_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(word_lists, "BEST", 3)
    monkeypatch.setattr(word_lists, "LONG", 6)
    words = words_of([Item("red" + " bag" * (row % 4)) for row in range(12)])
    whole = build_word_lists(words, DESCRIBED)
    assert whole.offsets[0] == 2 * 3  # "red" where nothing else is said, and "bag" where it is said most
    assert sorted(whole.rows[:6].reshape(2, 3).tolist()) == [[0, 4, 8], [3, 7, 11]]
    assert part_of(words, np.arange(6)).offsets[0] == 0
    assert part_of(words, np.arange(5, 12)).rows[:3].tolist() == [3, 0, 4]  # "red" alone is long, short titles first


def test_a_word_of_a_description_is_another_term() -> None:
    """What an item must have is asked of its title and brand."""
    lists = build_word_lists(words_of([Item("red", "", "blue"), Item("blue")]), DESCRIBED)
    (place,) = np.flatnonzero(lists.terms == terms_of("word", word_hashes(tf.constant(["blue"])).numpy()))
    assert lists.rows[lists.offsets[place] : lists.offsets[place + 1]].tolist() == [1]
    assert (scores(lists, "blue") > 0).all()
    unread = build_word_lists(words_of([Item("red", "", "blue"), Item("blue")]), FieldsConfig(description=0).boosts)
    assert (scores(unread, "blue") > 0).tolist() == [False, True]


def test_what_title_and_description_say_counts_more_than_what_either_says() -> None:
    """And a word is one word, however its items have it."""
    both, title, described = Item("red bag", "", "red x"), Item("red bag", "", "y x"), Item("blue bag", "", "red x")
    lists = build_word_lists(words_of([title, described, both]), FieldsConfig(description=1).boosts)
    found = scores(lists, "red")
    assert found[2] > found[0] == pytest.approx(found[1], rel=0.01)
    assert len(set(lists.weights[np.isin(lists.terms, [terms_of(kind, hash_of("red")) for kind in KINDS])])) == 1


def test_texts_are_analysed_to_the_end_of_long_titles() -> None:
    titles = ["Crème BRÛLÉE " + " ".join(f"w{number}" for number in range(40)), ""]
    read = read_words({"title": [one.encode() for one in titles], "brand": [b"ACME", b"Acme"]})
    assert read.lengths.tolist() == [43, 1] and read.fields.tolist() == [0] * 42 + [1, 1]
    assert {"crème".encode(), b"w39", b"acme"} <= read.spellings
    assert (scores(build_word_lists(read, DESCRIBED), "w39") > 0).tolist() == [True, False]


def test_a_search_is_built_as_its_config_says(tmp_path: Path) -> None:
    path = tmp_path / "synonyms.txt"
    path.write_text("footwear => shoe\n")
    read = read_words({"title": [b"red shoe", b"blue bag"], "brand": [b"", b"adidas"]})
    lists = ListsInGraph(build_word_lists(read, FieldsConfig().boosts))

    def found(config: WordsConfig, query: str) -> list[int]:
        spellings = corrected_to(read.spellings, lists.terms.numpy(), lists.weights.numpy(), config)
        search = build_word_search(lists, spellings, config, (256, 32))
        rows = search.search(search.asked(ragged([query])), tf.constant(2))[1].numpy()[0]
        return [row for row in rows.tolist() if row >= 0]

    assert found(WordsConfig(), "addidas") == [1] and found(WordsConfig(correct=False), "addidas") == []
    assert found(WordsConfig(synonyms=str(path)), "footwear") == [0] and found(WordsConfig(), "footwear") == []
