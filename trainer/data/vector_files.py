"""Word vectors in others' files: word2vec (text and binary), fastText's .vec, GloVe, as .gz too; and Parquet."""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from typing import BinaryIO

import numpy as np
import pyarrow
import pyarrow.parquet
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError

Vectors = dict[str, np.ndarray]  # word -> float32 [width]
_CHUNK = 1 << 20
_FASTTEXT_MODEL = (793712314).to_bytes(4, "little")  # how fastText's own .bin begins


def read_vectors(path: str, wanted: Collection[str], key: str) -> Vectors:
    """The vectors of the words in `wanted` that a file has; of a word in several cases its own, else the first.

    Args:
      path: the file, on any filesystem of Beam's; its ending says what it is.
      wanted: words as the analyser writes them, in lower case.
      key: of the config, by which the user named the file.
    """
    if not FileSystems.exists(path):
        raise UserError(f"{key}: no file {path}; name one of word2vec, fastText, GloVe or Parquet, or wordllama")
    plain = path.removesuffix(".gz")
    found: Vectors = {}
    with FileSystems.open(path) as file:
        try:
            read = _parquet if path.endswith(".parquet") else _binary if plain.endswith(".bin") else _text
            for word, vector in read(file, frozenset(wanted)):
                if word in wanted:
                    found[word] = vector
                else:
                    found.setdefault(word.lower(), vector)
        except (ValueError, OSError, EOFError, zlib.error, pyarrow.ArrowException) as error:
            raise UserError(f"{key}: {path} is no file of word vectors: {error}") from None
    for word, vector in found.items():
        if not np.isfinite(vector).all():
            raise UserError(f"{key}: {path}: the vector of {word!r} is not finite")
    return found


def _text(file: BinaryIO, wanted: frozenset[str]) -> Iterator[tuple[str, np.ndarray]]:
    """A line a word; word2vec and fastText say how many and how wide in the first, GloVe does not."""
    first = file.readline()
    head = first.split()
    if len(head) == 2 and all(one.isdigit() for one in head):
        width = int(head[1])
    else:
        width = len(head) - 1
        yield from _line(first, 1, width, wanted)
    if width < 1:
        raise ValueError("its first line is neither two numbers nor a word and its vector")
    for number, line in enumerate(iter(file.readline, b""), 2):
        yield from _line(line, number, width, wanted)


def _line(line: bytes, number: int, width: int, wanted: frozenset[str]) -> Iterator[tuple[str, np.ndarray]]:
    word = line.split(b" ", 1)[0].decode("utf-8", "replace")
    if word.lower() not in wanted:
        return
    values = line.split()[1:]
    if len(values) < width:
        raise ValueError(f"line {number} has {len(values)} numbers, not {width}")
    if len(values) == width:  # more: a phrase, whose first word is not the word
        yield word, np.array(values, np.float32)


def _binary(file: BinaryIO, wanted: frozenset[str]) -> Iterator[tuple[str, np.ndarray]]:
    """word2vec's: a line of how many and how wide, then each word, a blank, its float32 numbers."""
    head = file.readline()
    if head.startswith(_FASTTEXT_MODEL):
        raise ValueError("it is a whole fastText model; take the .vec beside it")
    count, width = map(int, head.split())
    pending, at = b"", 0
    for _ in range(count):
        while (end := pending.find(b" ", at)) < 0 or len(pending) < end + 1 + 4 * width:
            more = file.read(_CHUNK)
            if not more:
                raise ValueError(f"it ends before the last of its {count:,} words")
            pending, at = pending[at:] + more, 0
        word = pending[at:end].lstrip(b"\n").decode("utf-8", "replace")
        at = end + 1 + 4 * width
        if word.lower() in wanted:
            yield word, np.frombuffer(pending, "<f4", width, end + 1).copy()


def _parquet(file: BinaryIO, wanted: frozenset[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Columns `word` and `vector`, a list of one width."""
    width = None
    for batch in pyarrow.parquet.ParquetFile(file).iter_batches(columns=["word", "vector"]):
        if batch.num_columns < 2:
            raise ValueError("it needs the columns word and vector")
        for word, vector in zip(batch["word"].to_pylist(), batch["vector"], strict=True):
            if word is None or word.lower() not in wanted:
                continue
            values = np.array(vector.as_py() or (), np.float32)
            width = width or len(values)
            if len(values) != width or not width:
                raise ValueError(f"the vector of {word!r} has {len(values)} numbers, the first one {width}")
            yield word, values
