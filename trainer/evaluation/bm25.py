"""BM25 over titles and brands: the row that every table is read against."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

import bm25s
import numpy as np

from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.query_scores import words_of

logging.getLogger("bm25s").setLevel(logging.WARNING)  # it speaks at DEBUG by itself


class Bm25:
    """The library's BM25 on the words that our own analyser finds.

    Args:
      catalogue: whose items are found.
      described: whether an item's description is read behind its title.
    """

    def __init__(self, catalogue: Catalogue, described: bool = False) -> None:
        documents = [
            title if brand.lower() in title.lower() else brand + b" " + title
            for title, brand in zip(catalogue.titles.tolist(), catalogue.brands.tolist(), strict=True)
        ]
        if described:
            pairs = zip(documents, catalogue.descriptions.tolist(), strict=True)
            documents = [document + b" " + description for document, description in pairs]
        self._index = bm25s.BM25()
        self._index.index(words_of(documents), show_progress=False)
        self._items = len(catalogue)

    def scores(self, queries: Sequence[bytes]) -> Iterator[np.ndarray]:
        """float32 `[items]` for each query; 0: the item shares no word with it."""
        for words in words_of(queries):
            yield self._index.get_scores(words) if words else np.zeros(self._items, np.float32)
