"""Queries made of items: what is drawn is asked, whole words, and nothing but seed and item decides."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.text.analyser import analyse
from preprocessing.text.item_queries import DRAWS, MOMENTS, asked, draws_of, moments_of, split_words, texts_of


def test_what_is_drawn_is_asked() -> None:
    texts = tf.constant([["red oak table", "", "garden"], ["red oak table", "", "garden"], ["", "--", ""]])
    draws = tf.constant([[0.5, 0.9, 0.4, 0.34, 0.99], [0.1, 0.9, 0.2, 0.99, 0.99], [0.1, 0.2, 0.9, 0.5, 0.5]])
    assert asked(texts, draws).numpy().tolist() == [b"oak table", b"garden", b""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("USB-C  3.5mm", ["USB ", "C ", "3 ", "5mm"]),
        ("红色 鞋 iphone壳", ["红", "色 ", "鞋 ", "iphone", "壳"]),
        ("caf\u00e9 r\u00f6d\u2764red", ["caf\u00e9 ", "r\u00f6d", "\u2764", "red"]),
        (" (--) ", []),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert split_words(tf.constant([text])).to_list() == [[word.encode() for word in words]]


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.text(alphabet="ab1 -,\u00f6\u7ea2\u8272\u2764", max_size=12), min_size=3, max_size=3),
    st.lists(st.integers(0, 2**24 - 1).map(lambda drawn: drawn / 2**24), min_size=5, max_size=5),
)
def test_what_asks_is_a_stretch_of_a_text(texts: list[str], draws: list[float]) -> None:
    """As the analyser reads both: neighbouring words, whole."""
    (query,) = asked(tf.constant([texts]), tf.constant([draws])).numpy()
    words = analyse(tf.constant([query, *texts]), ["word"])["word"].to_list()
    stretches = [text[at : at + len(words[0])] for text in words[1:] for at in range(len(text) + 1)]
    assert words[0] in stretches
    assert words[0] or not all(words[1:])


def test_a_brand_stands_before_its_title() -> None:
    items = {"brand_name": ["Acme", ""], "title": ["red lamp", "sofa"], "leaf_name": ["lamps", ""]}
    texts = texts_of({**items, "description": ["bright", ""]} | {name: tf.constant(one) for name, one in items.items()})
    assert texts.numpy().tolist() == [
        [b"Acme red lamp", b"Acme red lamp", b"lamps", b"bright"],
        [b"sofa", b"sofa", b"", b""],
    ]


def test_draws_are_even_and_each_item_and_seed_has_its_own() -> None:
    items = tf.constant([f"item {number}" for number in range(4000)])
    draws, moments = draws_of(items, 17).numpy(), moments_of(items).numpy() / MOMENTS
    assert draws.shape == (4000, DRAWS)
    for column in (*draws.T, moments):
        assert column.min() >= 0 and column.max() < 1
        np.testing.assert_allclose(np.histogram(column, 10, (0, 1))[0], 400, atol=100)
    assert (
        np.abs(
            np.corrcoef(np.column_stack([draws, moments, draws_of(items, 18).numpy()]).T) - np.eye(2 * DRAWS + 1)
        ).max()
        < 0.1
    )
    np.testing.assert_array_equal(draws[::2], draws_of(items[::2], 17).numpy())
