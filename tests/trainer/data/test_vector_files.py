"""Word vectors of others come out of every format as they were put in."""

from __future__ import annotations

import gzip
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from trainer.data import vector_files
from trainer.data.vector_files import read_vectors

KEY = "trainer.dnn.tables.word.vectors"
Made = Mapping[str, np.ndarray]


def _lines(made: Made, end: str = "\n") -> bytes:
    return "".join(f"{word} {' '.join(map(repr, map(float, row)))}{end}" for word, row in made.items()).encode()


def _head(made: Made) -> bytes:
    return f"{len(made)} {len(next(iter(made.values())))}\n".encode()


def _parquet(made: Made) -> bytes:
    table = pyarrow.table({"word": list(made), "vector": [row.tolist() for row in made.values()]})
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, sink)
    return sink.getvalue().to_pybytes()


def _binary(made: Made, end: bytes) -> bytes:
    return _head(made) + b"".join(word.encode() + b" " + row.tobytes() + end for word, row in made.items())


FORMATS: dict[str, Callable[[Made], bytes]] = {
    "glove.txt": _lines,
    "glove.txt.gz": lambda made: gzip.compress(_lines(made)),
    "word2vec.txt": lambda made: _head(made) + _lines(made),
    "fasttext.vec": lambda made: _head(made) + _lines(made, " \n"),
    "fasttext.vec.gz": lambda made: gzip.compress(_head(made) + _lines(made, " \n")),
    "word2vec.bin": lambda made: _binary(made, b"\n"),
    "gensim.bin": lambda made: _binary(made, b""),
    "word2vec.bin.gz": lambda made: gzip.compress(_binary(made, b"\n")),
    "vectors.parquet": _parquet,
}
_WORDS = st.text(st.characters(categories=["Ll", "Nd", "Lo"]), min_size=1, max_size=6).filter(
    lambda word: word == word.lower()
)


@st.composite
def vectors(draw: st.DrawFn) -> dict[str, np.ndarray]:
    words = draw(st.lists(_WORDS, min_size=1, max_size=8, unique=True))
    width = draw(st.integers(2, 5))
    number = st.floats(-100, 100, width=32)
    return {word: np.array(draw(st.lists(number, min_size=width, max_size=width)), np.float32) for word in words}


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=25, deadline=None)
@given(made=vectors(), known=st.sets(st.integers(0, 7)))
def test_reads_what_was_written(name: str, made: dict[str, np.ndarray], known: set[int]) -> None:
    wanted = {word for place, word in enumerate(made) if place in known} | {"of nobody"}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(vector_files, "_CHUNK", 7)  # a word and its numbers lie across reads
        path = Path(folder, name)
        path.write_bytes(FORMATS[name](made))
        found = read_vectors(str(path), wanted, KEY)
    assert set(found) == wanted & set(made)
    for word, vector in found.items():
        np.testing.assert_array_equal(vector, made[word])


def test_a_word_in_another_case_stands_in_until_its_own_comes(tmp_path: Path) -> None:
    path = tmp_path / "glove.txt"
    path.write_text("Nike 1 1\nNIKE 2 2\nApple 3 3\napple 4 4\n. . 5 5\n")
    found = read_vectors(str(path), {"nike", "apple", "."}, KEY)
    assert {word: vector.tolist() for word, vector in found.items()} == {"nike": [1, 1], "apple": [4, 4]}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.txt", b"red 1 2\nblue 1\n", "line 2 has 1 numbers, not 2"),
        ("a.txt", b"red 1 x\n", "could not convert"),
        ("a.txt", b"", "neither two numbers nor a word"),
        ("a.txt", b"red 1 nan\n", "'red' is not finite"),
        ("a.txt.gz", b"red 1 2\n", "no file of word vectors"),
        ("a.bin", b"2 2\nred 12345678", "before the last of its 2 words"),
        ("a.bin", (793712314).to_bytes(4, "little") + b"\n", "take the .vec beside it"),
        ("a.parquet", b"red 1 2\n", "no file of word vectors"),
    ],
)
def test_another_file_is_told_in_one_line(tmp_path: Path, name: str, content: bytes, said: str) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match=said) as mistake:
        read_vectors(str(path), {"red", "blue"}, KEY)
    assert str(mistake.value).startswith(f"{KEY}: ") and str(path) in str(mistake.value)


def test_parquet_of_other_columns_and_of_two_widths(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"token": ["red"], "vector": [[1.0]]}), path)
    with pytest.raises(UserError, match="columns word and vector"):
        read_vectors(str(path), {"red"}, KEY)
    pyarrow.parquet.write_table(pyarrow.table({"word": ["red", "blue"], "vector": [[1.0], [1.0, 2.0]]}), path)
    with pytest.raises(UserError, match="'blue' has 2 numbers, the first one 1"):
        read_vectors(str(path), {"red", "blue"}, KEY)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no file"):
        read_vectors(str(tmp_path / "glove.txt"), {"red"}, KEY)
