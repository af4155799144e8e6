"""The weights of two channels over one catalogue, from requests and what their users then took."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.text import analyser
from preprocessing.words.channel_fusion import Found
from preprocessing.words.choose_fusion import Chosen, Labelled, choose
from preprocessing.words.query_kinds import QueryKinds, Way
from preprocessing.words.word_search import WordSearch

_TOGETHER = 64  # queries


class Asked(NamedTuple):
    """Requests of users, in order."""

    queries: Sequence[bytes]
    users: Sequence[bytes]  # b"" for nobody known
    taken: Sequence[np.ndarray]  # the rows of what each user clicked or ordered, -1 for what is no longer there


class Words(NamedTuple):
    """The channel of words, and what is known of queries."""

    search: WordSearch
    ways: Mapping[Way, QueryKinds]  # to tell queries apart
    limits: tuple[int, int]  # characters and words of a query

    def found(self, queries: Sequence[bytes], width: int) -> Found:
        """The `width` best of each query; one that is there several times is asked once."""
        distinct, places = np.unique(np.array([*queries, b""], object), return_inverse=True)

        @tf.function(input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)
        def ask(texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            words = analyser.analyse(texts, ["word"], *self.limits)["word"]
            return self.search.search(self.search.asked(words), tf.constant(width))

        blocks = (distinct[begin : begin + _TOGETHER] for begin in range(0, len(distinct), _TOGETHER))
        answers = [ask(tf.constant(block.tolist(), tf.string)) for block in blocks]
        found = Found(*(np.concatenate([one.numpy() for one in parts]) for parts in zip(*answers, strict=True)))
        return found.part(places[:-1])

    def kinds(self, way: Way | None, queries: Sequence[bytes]) -> np.ndarray:
        """The kinds int32 `[n]` of queries, told apart in some way; without one they are alike."""
        return self.ways[way].of_texts(queries, *self.limits) if way else np.zeros(len(queries), np.int32)


def weigh_channels(asked: Asked, vector: Found, words: Words, from_log: bool) -> Chosen:
    """As `weigh_lists`, of words that are searched for here."""
    kinds = {way: words.kinds(way, asked.queries) for way in words.ways}
    return weigh_lists(asked, vector, words.found(asked.queries, vector.rows.shape[1]), kinds, from_log)


def weigh_lists(asked: Asked, vector: Found, words: Found, kinds: Mapping[Way, np.ndarray], from_log: bool) -> Chosen:
    """The fusion of both channels that the requests speak for.

    Args:
      asked: n requests.
      vector: what the vectors find for them, as deep as `choose` wants it.
      words: what the words find, as deep.
      kinds: of the queries, int32 `[n]` each, by the ways to tell them apart.
      from_log: whether people asked them.
    """
    taken = [np.unique(rows[rows >= 0]) for rows in asked.taken]
    labelled = np.array([place for place, rows in enumerate(taken) if len(rows)], int)
    owners = np.array([asked.users[place] or asked.queries[place] for place in labelled])
    positives = [taken[place] for place in labelled]
    known = Labelled(positives, owners, {way: of_all[labelled] for way, of_all in kinds.items()})
    return choose(vector.part(labelled), words.part(labelled), known, from_log)
