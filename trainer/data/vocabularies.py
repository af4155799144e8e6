"""The data folder's vocabularies as tables that travel with a SavedModel as its assets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from preprocessing.text import analyser
from preprocessing.text.vocabulary import Lookup


class FileLookup(Lookup):
    """A vocabulary read from its file: as large as it may be, the graph stays small."""

    def __init__(self, path: str, hash_buckets: int, name: str) -> None:
        tf.Module.__init__(self, name=name)
        self._hash_buckets = hash_buckets
        self._table = tf.lookup.StaticHashTable(_lines(path, 1 + hash_buckets), default_value=-1)


def _lines(path: str, first: int) -> Any:
    """A file's words, numbered from `first`; of an empty one, which TensorFlow cannot read, "" alone, which is 0."""
    if not tf.io.gfile.stat(path).length:
        return tf.lookup.KeyValueTensorInitializer([""], [0], tf.string, tf.int64)
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    return tf.lookup.TextFileInitializer(path, tf.string, whole, tf.int64, number, value_index_offset=first)


class Vocabularies(tf.Module):
    """Strings to ids, as the records have them."""

    def __init__(self, data_dir: str, spec: Mapping[str, Any], names: set[str]) -> None:
        super().__init__(name="vocabularies")
        sizes, self._text = spec["vocabularies"], spec["text"]
        self._lookups = {
            name: FileLookup(f"{data_dir}/vocab/{name}.txt", sizes[name]["hash_buckets"], name)
            for name in sorted(names)
        }

    def ids(self, name: str, strings: tf.Tensor) -> tf.Tensor:
        """int64 ids of strings of any shape; 0 for ""."""
        return self._lookups[name](strings)

    def grains(self, texts: tf.Tensor, names: list[str]) -> dict[str, tf.RaggedTensor]:
        """int64 `[B, (L)]` of each grain of texts `[B]`."""
        found = analyser.analyse(texts, names, self._text["max_chars"], self._text["max_words"])
        return {name: grain.with_values(self.ids(name, grain.values)) for name, grain in found.items()}
