"""python -m benchmarks.words: the channel of words beside bm25s, on one thread.

Items are made, their words as rare as Zipf says, each once in a title; a query is some neighbouring words of a title.
Both answer one query after another, in turns: ours as a traced function, from words to the best rows; bm25s from its
own tokens. `cpu_ms` is milliseconds of CPU of one call, ours less an empty one. `recall` is the mean share of bm25s'
exact list that ours finds, where an item as good as the last of them is as good, by number of words. The last line of
stdout is one JSON object.

examples:
  python -m benchmarks.words --items 1000000
"""

from __future__ import annotations

import json
import os
import statistics
import time
from collections.abc import Callable
from typing import Any

import bm25s
import numpy as np
import tensorflow as tf

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.made_items import ITEMS_A_WORD, market
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags
from preprocessing.words.config import FieldsConfig
from preprocessing.words.item_words import ItemWords, word_hashes
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.word_lists import K1, B, build_word_lists
from preprocessing.words.word_search import NO_SCORE, WordSearch

_SEED = 29
_LONGEST = 4  # words of a query


def made_words(items: int) -> ItemWords:
    """Those of a market's titles, each once: what a shop calls a thing seldom says a word twice."""
    words = market(items).words
    rows = np.repeat(np.arange(items), words.lengths)
    _, firsts = np.unique(rows * 2**40 + words.words % 2**40, return_index=True)
    kept = np.sort(firsts)
    ends = np.append(0, np.cumsum(np.bincount(rows[kept], minlength=items)))
    return ItemWords(words.words[kept], words.fields[kept], ends)


def made_queries(words: ItemWords, count: int) -> list[list[bytes]]:
    """One to four neighbouring words of titles."""
    random = np.random.default_rng(_SEED)
    names = np.array([f"w{rank}".encode() for rank in range(len(words) // ITEMS_A_WORD)], object)
    hashes = word_hashes(tf.constant(names.tolist())).numpy()
    order = np.argsort(hashes)
    queries = []
    for place, title in enumerate(random.choice(np.flatnonzero(words.lengths >= _LONGEST), count)):
        begin = words.ends[title] + random.integers(0, words.lengths[title] - _LONGEST + 1)
        asked = words.words[begin : begin + 1 + place % _LONGEST]
        queries.append(names[order[np.searchsorted(hashes, asked, sorter=order)]].tolist())
    return queries


class Ours:
    """The channel of words as a traced function."""

    def __init__(self, words: ItemWords) -> None:
        lists = build_word_lists(words, FieldsConfig().boosts)
        self.bytes = lists.bytes
        self._search = WordSearch(ListsInGraph(lists))
        spec = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)
        self._call, self._empty = (
            tf.function(one, autograph=False).get_concrete_function(*spec)
            for one in (self._best, lambda words, width: (words, width))
        )

    def _best(self, words: tf.Tensor, width: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        one = tf.RaggedTensor.from_row_splits(words, tf.stack([0, tf.size(words)]), validate=False)
        return self._search.search(self._search.asked(one), width)

    def call(self, query: list[bytes], width: int) -> Callable[[bool], Any]:
        """What asks; or, empty, what does nothing alike."""
        inputs = tf.constant(query), tf.constant(width)
        return lambda empty: self._empty(*inputs) if empty else self._call(*inputs)


class Theirs:
    """bm25s over the same words."""

    def __init__(self, words: ItemWords) -> None:
        self._index = bm25s.BM25(k1=K1, b=B)
        numbers, tokens = np.unique(words.words, return_inverse=True)
        self._numbers = {int(one): place for place, one in enumerate(numbers)}
        texts = np.split(tokens.astype(np.int32), words.ends[1:-1])
        vocabulary = {str(place): place for place in range(len(numbers))}
        self._index.index(([one.tolist() for one in texts], vocabulary), show_progress=False)

    def scores(self, query: list[bytes]) -> np.ndarray:
        """float32 [N]."""
        hashes = word_hashes(tf.constant(query)).numpy().tolist()
        return self._index.get_scores_from_ids([self._numbers[one] for one in hashes])

    def best(self, query: list[bytes], width: int) -> np.ndarray:
        """Rows [width]."""
        scores = self.scores(query)
        best = np.argpartition(scores, -width)[-width:]
        return best[np.argsort(-scores[best])]


def cpu_ms(call: Callable[[], Any]) -> float:
    """Of one call."""
    begun = time.process_time_ns()
    call()
    return (time.process_time_ns() - begun) / 1e6


def recall(ours: np.ndarray, scores: np.ndarray, width: int) -> float:
    """The share of the best `width` that was found, where one as good as the last of them is as good."""
    there = min(width, int((scores > 0).sum()))
    last = np.partition(scores, -there)[-there]
    return float((scores[ours[ours >= 0]] >= last * (1 - 2e-3)).sum()) / there


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.words", description=__doc__)
    flags.add_argument("--items", type=int, default=1_000_000, help="default %(default)s")
    flags.add_argument("--queries", type=int, default=400)
    flags.add_argument("--width", type=int, default=100)
    given = flags.parse_args(argv)
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    words = made_words(given.items)
    ours, theirs = Ours(words), Theirs(words)
    queries = made_queries(words, given.queries)
    times: dict[str, list[float]] = {"ours": [], "theirs": []}
    recalls: dict[int, list[float]] = {}
    for query in queries:
        call = ours.call(query, given.width)
        scores, rows = call(False)
        assert np.all(scores.numpy()[rows.numpy() < 0] == NO_SCORE)
        recalls.setdefault(len(query), []).append(recall(rows.numpy()[0], theirs.scores(query), given.width))
        times["ours"].append(cpu_ms(lambda: call(False)) - cpu_ms(lambda: call(True)))  # noqa: B023
        times["theirs"].append(cpu_ms(lambda: theirs.best(query, given.width)))  # noqa: B023
    summed = {
        name: {"median": round(statistics.median(one), 3), "mean": round(statistics.mean(one), 3)}
        for name, one in times.items()
    }
    print(
        json.dumps(
            {
                "items": given.items,
                "queries": given.queries,
                "width": given.width,
                "cores": os.cpu_count(),
                "bytes_an_item": round(ours.bytes / given.items, 1),
                "cpu_ms": summed,
                "ratio": round(summed["theirs"]["mean"] / summed["ours"]["mean"], 1),
                "recall": {
                    "all": round(statistics.mean(one for of in recalls.values() for one in of), 4),
                    **{str(count): round(statistics.mean(one), 4) for count, one in sorted(recalls.items())},
                },
            }
        )
    )
    return 0


if __name__ == "__main__":
    run_command(main)
