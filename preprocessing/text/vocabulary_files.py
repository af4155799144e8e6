"""Vocabularies in their files: as tables that travel with a SavedModel as its assets, and on their way to a job.

A folder holds `<name>.txt` for each; what else an id hangs on is an *encoding*, JSON in the form of a spec's own parts:

    {"vocabularies": {"word": {"hash_buckets": 100, "ids": 5101}, ...}, "text": {"max_chars": 256, "max_words": 32},
     "vector_width": 0, "prices": {"bands": 11, "ratio": 1.25}}

`vector_width` is of the items' own vectors: 0 where there are none, or they are not read. The file of "price" is no
list of words, but the table of medians that `preprocessing.text.price_bands` reads.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from preprocessing.text import analyser
from preprocessing.text.price_bands import PriceBands
from preprocessing.text.vocabulary import Lookup

Encoding = dict[str, Any]
_PRICE = "price"


class FileLookup(Lookup):
    """A vocabulary read from its file: as large as it may be, the graph stays small."""

    def __init__(self, path: str, hash_buckets: int, ids: int, name: str) -> None:
        tf.Module.__init__(self, name=name)
        self._hash_buckets = hash_buckets
        self._table = tf.lookup.StaticHashTable(_words(path, 1 + hash_buckets, ids), default_value=-1)


def _words(path: str, first: int, ids: int) -> Any:
    """A file's words, numbered from `first`; of an empty one, which TensorFlow cannot read, "" alone, which is 0."""
    if first == ids:
        return tf.lookup.KeyValueTensorInitializer([""], [0], tf.string, tf.int64)
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    return tf.lookup.TextFileInitializer(path, tf.string, whole, tf.int64, number, value_index_offset=first)


class Vocabularies(tf.Module):
    """Strings to ids, as the records have them.

    Args:
      folder: with the vocabularies' files.
      encoding: theirs; a data folder's spec is one.
      names: of the vocabularies that are wanted.
    """

    def __init__(self, folder: str, encoding: Mapping[str, Any], names: Iterable[str]) -> None:
        super().__init__(name="vocabularies")
        self.encoding = encoding_of(encoding, names)
        self._lookups = {
            name: FileLookup(f"{folder}/{name}.txt", one["hash_buckets"], one["ids"], name)
            for name, one in self.encoding["vocabularies"].items()
            if name != _PRICE
        }
        self._bands = {
            name: PriceBands.of_file(f"{folder}/{name}.txt", **self.encoding["prices"])
            for name in self.encoding["vocabularies"]
            if name == _PRICE
        }

    @property
    def text_limits(self) -> tuple[int, int]:
        """How many characters and words of a text the analyser keeps."""
        return self.encoding["text"]["max_chars"], self.encoding["text"]["max_words"]

    @property
    def vector_width(self) -> int:
        """Of the items' own vectors; 0 where none are read."""
        return self.encoding["vector_width"]

    @property
    def names(self) -> frozenset[str]:
        """Which there are."""
        return frozenset(self.encoding["vocabularies"])

    def ids(self, name: str, strings: tf.Tensor) -> tf.Tensor:
        """int64 ids of strings of any shape; 0 for ""."""
        return self._lookups[name](strings)

    def price_bands(self, prices: tf.Tensor, leaves: tf.Tensor, tops: tf.Tensor) -> tf.Tensor:
        """int64 bands of prices, float32 `[N]`, in their leaves and tops, strings `[N]`."""
        return self._bands[_PRICE](prices, leaves, tops)

    def analyse(
        self, texts: tf.Tensor, names: Sequence[str], spelled: tf.Tensor | None = None
    ) -> dict[str, tf.RaggedTensor]:
        """The grains of texts `[B]`, strings `[B, (L)]` each; grains other than words of the first `spelled` alone."""
        return analyser.analyse(texts, names, *self.text_limits, spelled)

    def padded_ids(self, name: str, grams: tf.RaggedTensor) -> tf.Tensor:
        """Ids of one grain of texts, strings `[B, (L)]` -> int32 `[B, longest]`, 0 behind."""
        return grams.with_values(tf.cast(self._lookups[name].of_words(grams.values), tf.int32)).to_tensor()

    def encoded(self, texts: tf.Tensor, names: Sequence[str]) -> dict[str, tf.Tensor]:
        """int32 `[B, L]` of each grain of texts `[B]`."""
        return {name: self.padded_ids(name, grams) for name, grams in self.analyse(texts, names).items()}


def encoding_of(spec: Mapping[str, Any], names: Iterable[str]) -> Encoding:
    """What of a data folder's spec, or of another encoding, the inputs of towers of some vocabularies hang on."""
    found = {
        name: {part: spec["vocabularies"][name][part] for part in ("hash_buckets", "ids")} for name in sorted(names)
    }
    text = {name: spec["text"][name] for name in ("max_chars", "max_words")}
    encoding = {"vocabularies": found, "text": text, "vector_width": spec.get("vector_width", 0)}
    if _PRICE in found:
        encoding["prices"] = {name: spec["prices"][name] for name in ("bands", "ratio")}
    return encoding


def known_words(folder: str, name: str = "word") -> list[bytes]:
    """The strings of a vocabulary in the `vocab/` of a folder."""
    with tf.io.gfile.GFile(f"{folder}/vocab/{name}.txt", "rb") as file:
        return file.read().split(b"\n")[:-1]


def copy_vocabularies(folder: str, names: Iterable[str], to: str) -> None:
    """Copies the files of some vocabularies into another folder, which is made."""
    tf.io.gfile.makedirs(to)
    for name in names:
        tf.io.gfile.copy(f"{folder}/{name}.txt", f"{to}/{name}.txt", overwrite=True)
