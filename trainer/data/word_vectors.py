"""The vocabulary's words in somebody else's vectors: by id, on the scale of the tables, and how much was found."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.spec import read_spec
from trainer.config_models import WordTableConfig
from trainer.data.dataset import catalog, requests
from trainer.data.subword_vectors import NAME, subword_vectors
from trainer.data.vector_files import Vectors, read_vectors

_SAMPLE, _BATCH = 100_000, 4_096  # requests and items whose words are counted
_RMS = 0.1  # of a number: as the tables begin
_RARE = 1e-3  # a of a / (a + p), as the paper has it (smooth inverse frequency, Arora et al. 2017)


class WordVectors(NamedTuple):
    """What was found of a vocabulary."""

    rows: np.ndarray  # float32 [ids, width]; zeros for padding, hash buckets and words that were not found
    of_words: float  # share of the vocabulary that was found
    of_occurrences: float  # the same of its words in requests and titles


def read_word_vectors(config: WordTableConfig, data_dir: str, key: str) -> WordVectors:
    """Reads the vectors that `config` names for the words of a data folder; `key` is where the user named them."""
    with tf.io.gfile.GFile(f"{data_dir}/vocab/word.txt") as file:
        words = file.read().split("\n")[:-1]
    source = str(config.vectors)
    vectors = subword_vectors(words, key) if source == NAME else read_vectors(source, set(words), key)
    if not vectors:
        raise UserError(f"{key}: {source} has none of the {len(words):,} words of {data_dir}/vocab/word.txt")
    vocabulary = read_spec(data_dir)["vocabularies"]["word"]
    counts = count_words(data_dir, vocabulary["ids"])
    rows = _rows(vectors, words, vocabulary["ids"])
    if config.rarity:
        rows *= (_RARE / (_RARE + counts / max(counts.sum(), 1)))[:, None]
    found = rows.any(axis=1)
    rows *= _RMS / np.sqrt(np.mean(np.square(rows[found])))
    share = counts[found].sum() / max(counts.sum(), 1)
    return WordVectors(rows.astype(np.float32), float(found.sum()) / len(words), float(share))


def _rows(vectors: Vectors, words: list[str], ids: int) -> np.ndarray:
    """By id `[ids, width]`; words are the last of the ids."""
    rows = np.zeros((ids, len(next(iter(vectors.values())))), np.float32)
    for number, word in enumerate(words, ids - len(words)):
        if word in vectors:
            rows[number] = vectors[word]
    return rows


def count_words(data_dir: str, ids: int) -> np.ndarray:
    """How often each word id stands in the first requests of training and titles of the catalogue: int64 `[ids]`."""
    counts = np.zeros(ids, np.int64)
    batches = -(-_SAMPLE // _BATCH)
    sources = {
        "query_word": requests(data_dir, "train", _BATCH, ["query_word"], _SAMPLE),
        "title_word": catalog(data_dir, _BATCH, ["title_word"]).take(batches),
    }
    for column, dataset in sources.items():
        for batch in dataset:
            counts += np.bincount(batch[column].flat_values, minlength=ids)
    counts[0] = 0
    return counts
