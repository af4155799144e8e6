"""The analyser: words, grams, any bytes, and nothing that a stock server does not have."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.text.nfkc import nfkc

Analyse = Callable[[list[bytes]], dict[str, list[list[str]]]]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("Red Running-Shoes", ["red", "running", "shoes"]),
        ("红色跑鞋", ["红", "色", "跑", "鞋"]),
        ("红色shoes", ["红", "色", "shoes"]),
        ("iphone12壳 3d打印", ["iphone12", "壳", "3d", "打", "印"]),
        ("abcПривет12", ["abc", "привет12"]),
        ("Ｆｕｌｌ ﬁne", ["full", "fine"]),
        ("e\u0301clair ÉCLAIR", ["éclair", "éclair"]),
        ("שלום עולם", ["שלום", "עולם"]),
        ("قميص أزرق", ["قميص", "أزرق"]),
        ("한국어 각", ["한국어", "각"]),
        ("かな カナ", ["かな", "カナ"]),
        ("red❤️sofa 👍", ["red", "❤", "sofa", "👍"]),
        ("a\x00b\tc\nd", ["a", "b", "c", "d"]),
        ("soft\u00adhyphen zero\u200bwidth", ["softhyphen", "zero", "width"]),
        ("ΟΔΟΣ οδος Οδοσ", ["οδοσ", "οδοσ", "οδοσ"]),  # a final sigma is a sigma
        ("ſüß STRAẞE", ["süß", "straße"]),
        ("...!?", []),
        ("", []),
    ],
)
def test_words(analyse: Analyse, text: str, words: list[str]) -> None:
    assert analyse([text.encode()])["word"] == [words]


def test_invalid_bytes_separate(analyse: Analyse) -> None:
    assert analyse([b"\xff\xfered\xc3sofa\x80", b"\xed\xa0\x80"])["word"] == [["red", "sofa"], []]


def test_grams_run_across_words_that_nothing_separates(analyse: Analyse) -> None:
    found = analyse(["红鞋x yz".encode(), b"a"])
    assert found["char"] == [["红", "鞋", "x", "y", "z"], ["a"]]
    assert found["bigram"] == [["红鞋", "鞋x", "yz"], []]
    assert found["trigram"] == [["红鞋x"], []]


def test_long_texts_are_cut(analyse: Analyse) -> None:
    found = analyse([b"ab" * 5_000, b"a " * 5_000])
    assert [len(row) for row in found["char"]] == [64, 32]
    assert [len(row) for row in found["word"]] == [1, 32]


texts = st.one_of(st.binary(max_size=40), st.text(max_size=30).map(lambda text: text.encode("utf-8", "surrogatepass")))


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6))
def test_a_text_is_read_alike_in_any_company(analyse: Analyse, batch: list[bytes]) -> None:
    together = analyse(batch)
    for place, text in enumerate(batch):
        alone = analyse([text])
        assert {name: rows[place] for name, rows in together.items()} == {name: rows[0] for name, rows in alone.items()}


@settings(max_examples=150, deadline=None)
@given(st.lists(texts, min_size=1, max_size=6))
def test_words_of_words_are_the_same_words(analyse: Analyse, batch: list[bytes]) -> None:
    words = analyse(batch)["word"]
    again = analyse([" ".join(row).encode() for row in words])["word"]
    # Cutting by characters comes first, and joined words are longer by their spaces.
    assert all(found == row[: len(found)] for found, row in zip(again, words, strict=True) if len(" ".join(row)) <= 64)


def test_only_core_ops(analyser) -> None:  # type: ignore[no-untyped-def]
    graph = analyser.get_concrete_function().graph.as_graph_def()
    ops = {node.op for node in graph.node} | {node.op for one in graph.library.function for node in one.node_def}
    functions = {one.signature.name for one in graph.library.function}
    core = {name.lower() for name in dir(tf.raw_ops)}
    assert len(ops) > 20
    assert {op for op in ops - functions if op.lower() not in core} <= {"Placeholder"}


@pytest.fixture(scope="module")
def normalise() -> Callable[[list[str]], list[str]]:
    def encoded(texts: tf.Tensor) -> tf.Tensor:
        return tf.strings.unicode_encode(nfkc(tf.strings.unicode_decode(texts, "UTF-8")), "UTF-8")

    run = tf.function(encoded, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
    return lambda texts: [text.decode() for text in run(tf.constant(texts, tf.string)).numpy().tolist()]


MARKS = [chr(code) for code in range(0x110000) if unicodedata.combining(chr(code))]
JAMO = [chr(code) for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A7, 0x11C3), 0xAC00, 0xAC01)]
COMPAT = [chr(code) for code in range(0x110000) if unicodedata.decomposition(chr(code))]
pieces = st.one_of(
    st.characters(exclude_categories=["Cs"]), st.sampled_from(MARKS), st.sampled_from(JAMO), st.sampled_from(COMPAT)
)


@settings(max_examples=200, deadline=None)
@given(batch=st.lists(st.lists(pieces, max_size=10).map("".join), min_size=1, max_size=20))
def test_nfkc_is_pythons(normalise: Callable[[list[str]], list[str]], batch: list[str]) -> None:
    assert normalise(batch) == [unicodedata.normalize("NFKC", text) for text in batch]


def test_nfkc_of_every_character(normalise: Callable[[list[str]], list[str]]) -> None:
    every = [chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF]
    assert normalise(every) == [unicodedata.normalize("NFKC", text) for text in every]
