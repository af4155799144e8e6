"""The analyser: words, grams, any bytes, and nothing that a stock server does not have."""

from __future__ import annotations

import itertools
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.text.analyser import analyse as analyse_in_graph
from preprocessing.text.nfkc import nfkc
from tests.preprocessing.text.plain_analyser import plain_grains

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


MARKS = [chr(code) for code in range(0x110000) if unicodedata.combining(chr(code))]
JAMO = [chr(code) for code in (*range(0x1100, 0x1113), *range(0x1161, 0x1176), *range(0x11A7, 0x11C3), 0xAC00, 0xAC01)]
COMPAT = [chr(code) for code in range(0x110000) if unicodedata.decomposition(chr(code))]
pieces = st.one_of(
    st.characters(exclude_categories=["Cs"]), st.sampled_from(MARKS), st.sampled_from(JAMO), st.sampled_from(COMPAT)
)
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


def assert_as_in_plain_python(analyse: Analyse, batch: list[bytes]) -> None:
    found = analyse(batch)
    for place, expected in enumerate(plain_grains(batch, 64, 32)):
        assert {name: rows[place] for name, rows in found.items()} == expected, batch[place]


def test_every_character_is_read_as_in_plain_python(analyse: Analyse) -> None:
    characters = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) not in ("Cs", "Cn", "Co")]
    others = [chr(code) for code in range(0, 0x110000, 61) if not 0xD800 <= code <= 0xDFFF]
    assert_as_in_plain_python(analyse, [f"a1{one}2 {one}\u0301".encode() for one in [*characters, *others]])


def test_every_pair_of_bytes_is_read_as_in_plain_python(analyse: Analyse) -> None:
    assert_as_in_plain_python(analyse, [bytes(pair) for pair in itertools.product(range(256), repeat=2)])
    assert_as_in_plain_python(analyse, [bytes(pair) for pair in itertools.product(range(128), repeat=2)])


@settings(max_examples=200, deadline=None)
@given(batch=st.lists(st.one_of(texts, st.lists(pieces, max_size=100).map(lambda text: "".join(text).encode()))))
def test_any_texts_are_read_as_in_plain_python(analyse: Analyse, batch: list[bytes]) -> None:
    assert_as_in_plain_python(analyse, batch)


ascii_texts = st.text(st.characters(max_codepoint=0x7F), max_size=200).map(str.encode)


@settings(max_examples=200, deadline=None)
@given(batch=st.lists(ascii_texts, min_size=1))
def test_ascii_is_read_the_same_on_the_long_way(analyse: Analyse, batch: list[bytes]) -> None:
    alone, beside = analyse(batch), analyse([*batch, "é".encode()])
    assert alone == {name: rows[:-1] for name, rows in beside.items()}
    assert_as_in_plain_python(analyse, batch)


@settings(max_examples=100, deadline=None)
@given(batch=st.lists(ascii_texts, min_size=1))
def test_texts_known_to_be_plain_are_read_as_any(analyse: Analyse, batch: list[bytes]) -> None:
    known = analyse_in_graph(tf.constant(batch), ("char", "bigram", "trigram", "word"), plain=True)
    rows = {name: [[one.decode() for one in row] for row in grain.to_list()] for name, grain in known.items()}
    found = analyse(batch)
    assert rows == {name: found[name] for name in rows}


def nodes_run(grains: list[str], given: list[Any]) -> list[Any]:
    """What a session tells of the nodes that it runs to analyse some texts."""
    call = tf.function(
        lambda texts: list(analyse_in_graph(texts, grains).values()),
        input_signature=[tf.TensorSpec([None], tf.string)],
        autograph=False,
    ).get_concrete_function()
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        texts = tf.compat.v1.placeholder(tf.string, [None])
        outputs = [part for grain in call(texts) for part in (grain.values, grain.row_splits)]
        metadata = tf.compat.v1.RunMetadata()
        options = tf.compat.v1.RunOptions(trace_level=tf.compat.v1.RunOptions.FULL_TRACE)
        session.run(outputs, {texts: given}, options, metadata)
    return [node for device in metadata.step_stats.dev_stats for node in device.node_stats]


def test_only_texts_in_other_scripts_go_the_long_way() -> None:
    texts = [b"red shoes", "红色".encode(), b"", b"blue", "crème".encode()]
    read = [
        node.output[0].tensor_description.shape.dim[0].size
        for node in nodes_run(["word"], texts)
        if "UnicodeTranscode(" in node.timeline_label
    ]
    assert read == [2]


@pytest.mark.parametrize(("text", "most"), [("Red shoes, size 42", 60), ("红色shoes 42码", 130), ("crème brûlée", 130)])
def test_a_query_takes_few_ops(text: str, most: int) -> None:
    nodes = nodes_run(["char", "bigram", "word"], [text])
    ops = [node.timeline_label.partition(" = ")[2].partition("(")[0] for node in nodes]
    assert 20 < sum(op not in ("Const", "NoOp", "_Arg", "_Retval") for op in ops) < most


def test_tables_stand_in_a_model_once() -> None:
    def size(calls: int) -> int:
        def several(texts: tf.Tensor) -> list[tf.Tensor]:
            return [analyse_in_graph(texts, ["char", "word"][: 1 + call % 2])["char"].values for call in range(calls)]

        traced = tf.function(several, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        return traced.get_concrete_function().graph.as_graph_def().ByteSize()

    assert size(3) - size(1) < 0.2 * size(1)


@pytest.fixture(scope="module")
def normalise() -> Callable[[str], str]:
    def encoded(text: tf.Tensor) -> tf.Tensor:
        return tf.strings.unicode_encode(nfkc(tf.strings.unicode_decode(text, "UTF-8")), "UTF-8")

    run = tf.function(encoded, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    return lambda text: run(tf.constant(text)).numpy().decode()


@settings(max_examples=200, deadline=None)
@given(text=st.lists(pieces, max_size=60).map("".join))
def test_nfkc_is_pythons(normalise: Callable[[str], str], text: str) -> None:
    assert normalise(text) == unicodedata.normalize("NFKC", text)


def test_nfkc_of_every_character(normalise: Callable[[str], str]) -> None:
    every = "\n".join(chr(code) for code in range(0x110000) if not 0xD800 <= code <= 0xDFFF)
    assert normalise(every) == unicodedata.normalize("NFKC", every)
