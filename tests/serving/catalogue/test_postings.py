"""Posting lists against lists made by hand, and BM25 against its formula."""

from __future__ import annotations

import collections
import math
from collections.abc import Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.made_items import market
from serving.catalogue import postings
from serving.catalogue.postings import K1, NO_TERM, B, Postings, build_postings, terms_of
from serving.catalogue.table import Table, word_hashes

VOCABULARY, NAMES = ["red", "blue", "shoe", "bag", "鞋"], ["", "acme", "zeta"]


def table_of(titles: Sequence[Sequence[str]], brands: Sequence[str], prices: Sequence[float]) -> Table:
    """Items by their words, brands (which are their leaves, too) and prices."""
    words = word_hashes(tf.constant([word for title in titles for word in title], tf.string)).numpy()
    ends = np.cumsum([0, *map(len, titles)]).astype(np.int64)
    names = {"brand": np.array([name.encode() for name in NAMES], object)}
    numbers = {"brand": np.array([NAMES.index(brand) for brand in brands], np.int32)}
    names["leaf"], numbers["leaf"] = names["brand"], numbers["brand"]
    ids = np.array([str(row).encode() for row in range(len(titles))], object)
    return Table(ids, names, numbers, words, ends, np.array(prices, np.float32))


def term(kind: str, name: str) -> int:
    """The term of a word, a leaf or a brand."""
    return int(terms_of(kind, word_hashes(tf.constant([name])).numpy())[0])


def rows_of(lists: Postings, wanted: int) -> list[int]:
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
    lists = build_postings(table_of(titles, brands, prices))
    assert np.all(np.diff(lists.terms) > 0)
    for word in VOCABULARY:
        assert rows_of(lists, term("word", word)) == [row for row, title in enumerate(titles) if word in title]
    for kind, of_items in (("leaf", lists.leaf_of), ("brand", lists.brand_of)):
        for name in NAMES:
            expected = [row for row, brand in enumerate(brands) if name and brand == name]
            assert rows_of(lists, term(kind, name)) == expected
        found = [lists.terms[number] if number != NO_TERM else None for number in of_items]
        assert found == [term(kind, brand) if brand else None for brand in brands]
    by_price = lists.rows[lists.offsets[-1] :]
    assert np.array_equal(lists.sorted_prices, np.sort([one for one in prices if not math.isnan(one)]))
    assert np.array_equal(lists.prices[by_price], lists.sorted_prices)


@settings(deadline=None)
@given(items=ITEMS)
def test_impacts_are_bm25(items: list[tuple[list[str], str, float]]) -> None:
    """Weight times impact is a word's part of an item's score, to half a step of the impact."""
    titles, brands, prices = zip(*items, strict=True)
    lists = build_postings(table_of(titles, brands, prices))
    mean = np.mean([len(title) for title in titles])
    frequency = collections.Counter(word for title in titles for word in set(title))
    for number, weight in enumerate(lists.weights):
        word = next(one for one in VOCABULARY if term("word", one) == lists.terms[number])
        rarity = math.log(1 + (len(titles) - frequency[word] + 0.5) / (frequency[word] + 0.5))
        for place in range(lists.offsets[number], lists.offsets[number + 1]):
            title = titles[lists.rows[place]]
            often = title.count(word)
            score = rarity * often * (K1 + 1) / (often + K1 * (1 - B + B * len(title) / mean))
            assert float(weight) * int(lists.impacts[place]) == pytest.approx(score, abs=float(weight) * 0.51)


def test_the_best_of_a_long_term(monkeypatch: pytest.MonkeyPatch) -> None:
    """By impact, of equal ones the earlier; a term that is no longer than LONG has no such list."""
    monkeypatch.setattr(postings, "BEST", 3)
    monkeypatch.setattr(postings, "LONG", 6)
    lengths = [5, 1, 3, 1, 2, 4, 1, 1]
    titles = [["red"] + ["blue"] * (length > 3) + ["bag"] * (length - 1) for length in lengths]
    lists = build_postings(table_of(titles, [""] * 8, [math.nan] * 8))
    assert [lists.terms[number] for number in lists.long_terms] == [term("word", "red")]
    assert lists.rows[lists.best[0]].tolist() == [1, 3, 6]


def test_bytes_a_posting() -> None:
    """At most 8 in all, of a market's words and names."""
    lists = build_postings(market(50_000))
    count = int(lists.offsets[-1]) + len(lists.sorted_prices)
    words = int(lists.offsets[len(lists.weights)])
    assert lists.rows.nbytes + lists.impacts.nbytes == 4 * count + words
    assert lists.best.nbytes <= 2 * words
    assert lists.bytes <= 8 * count
