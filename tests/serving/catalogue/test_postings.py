"""Posting lists against lists made by hand."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.made_items import market
from preprocessing.words.config import FieldsConfig
from preprocessing.words.item_words import ItemWords, word_hashes
from preprocessing.words.word_lists import NO_TERM, WordLists, build_word_lists, terms_of
from serving.catalogue.postings import Postings, build_postings
from serving.catalogue.table import Table

BOOSTS = FieldsConfig().boosts
VOCABULARY, NAMES = ["red", "blue", "shoe", "bag", "鞋"], ["", "acme", "zeta"]


def _built(table: Table) -> Postings:
    return build_postings(table, build_word_lists(table.words, BOOSTS))


def table_of(titles: Sequence[Sequence[str]], brands: Sequence[str], prices: Sequence[float]) -> Table:
    """Items by their words, brands (which are their leaves, too) and prices."""
    words = word_hashes(tf.constant([word for title in titles for word in title], tf.string)).numpy()
    ends = np.cumsum([0, *map(len, titles)]).astype(np.int64)
    names = {"brand": np.array([name.encode() for name in NAMES], object)}
    numbers = {"brand": np.array([NAMES.index(brand) for brand in brands], np.int32)}
    names["leaf"], numbers["leaf"] = names["brand"], numbers["brand"]
    ids = np.array([str(row).encode() for row in range(len(titles))], object)
    of_items = ItemWords(words, np.zeros(len(words), np.uint8), ends)
    return Table(ids, names, numbers, of_items, np.array(prices, np.float32))


def term(kind: str, name: str) -> int:
    """The term of a word, a leaf or a brand."""
    return int(terms_of(kind, word_hashes(tf.constant([name])).numpy())[0])


def rows_of(lists: WordLists, wanted: int) -> list[int]:
    """What stands in the list of a term."""
    (place,) = np.flatnonzero(lists.terms == wanted).tolist() or [len(lists.terms) - 1]
    return lists.rows[lists.offsets[place] : lists.offsets[place + 1]].tolist()


ITEMS = st.lists(
    st.tuples(
        st.lists(st.sampled_from(VOCABULARY), max_size=6),
        st.sampled_from(NAMES),
        st.just(math.nan) | st.integers(0, 5).map(float),
    ),
    min_size=1,
    max_size=12,
)


@settings(deadline=None)
@given(items=ITEMS)
def test_lists(items: list[tuple[list[str], str, float]]) -> None:
    """Each term has the rows of its items, rising; what no item has, has none."""
    titles, brands, prices = zip(*items, strict=True)
    postings = _built(table_of(titles, brands, prices))
    lists = postings.lists
    assert np.all(np.diff(lists.terms) > 0)
    for word in VOCABULARY:
        assert rows_of(lists, term("word", word)) == [row for row, title in enumerate(titles) if word in title]
    for kind, of_items in (("leaf", postings.leaf_of), ("brand", postings.brand_of)):
        for name in NAMES:
            expected = [row for row, brand in enumerate(brands) if name and brand == name]
            assert rows_of(lists, term(kind, name)) == expected
        found = [lists.terms[number] if number != NO_TERM else None for number in of_items]
        assert found == [term(kind, brand) if brand else None for brand in brands]
    by_price = lists.rows[lists.offsets[-1] :]
    assert np.array_equal(postings.sorted_prices, np.sort([one for one in prices if not math.isnan(one)]))
    assert np.array_equal(postings.prices[by_price], postings.sorted_prices)


def test_bytes_a_posting() -> None:
    """At most 14 in all, of a market's words and names: words have their way back, too."""
    postings = _built(market(50_000))
    count = int(postings.lists.offsets[-1] - postings.lists.offsets[0]) + len(postings.sorted_prices)
    assert postings.bytes <= 14 * count
