"""The encoder of a worker process: its tables are too large to build for every bundle."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from apache_beam.utils.shared import Shared

from preprocessing.config import PreprocessingConfig

if TYPE_CHECKING:
    from preprocessing.joins.encode_strings import Encoder


class SharedEncoder:
    """Built once a process for all transforms that were given this object; a job's vocabularies never change."""

    def __init__(self, config: PreprocessingConfig) -> None:
        self._text = config.text
        self._hash_buckets = config.vocabularies.hash_buckets()
        self._prices = config.prices
        self._shared = Shared()

    def get(self, words: Mapping[str, Sequence[str]]) -> Encoder:
        """The encoder for these vocabularies."""

        def build() -> Encoder:
            from preprocessing.joins.encode_strings import Encoder  # whoever builds a job needs no TensorFlow

            return Encoder.of(words, self._hash_buckets, self._text, self._prices)

        sizes = tuple(len(words.get(name, ())) for name in self._hash_buckets)
        return self._shared.acquire(build, tag=sizes)
