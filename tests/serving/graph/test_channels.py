"""What both channels find of a small catalogue, fused, against lists that are read off the items one by one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocessing.words import lists_in_graph, word_lists
from preprocessing.words.channel_fusion import Fusion, fuse
from preprocessing.words.query_kinds import ways_to_tell
from preprocessing.words.word_search import NO_SCORE, WordSearch
from serving.graph.channels import Channels
from serving.graph.conditions import Conditions
from serving.graph.word_channel import WordChannel
from serving.index.base import Effort
from tests.serving.graph.small_catalogue import DIM, ITEMS, WIDTHS, WORDS, Catalogue, inputs_of
from tests.serving.graph.test_conditions import request

ALL = Effort(100, leaves=100, reorder=ITEMS)  # every leaf: no index then misses what exact search finds
FUSIONS = [Fusion("ranks", ((1.0, 0.5),)), Fusion("scores", ((0.4, 0.6),)), Fusion("scores", ((0.0, 1.0),))]


class Shop:
    """The channels of a catalogue, and what they should find."""

    def __init__(self, catalogue: Catalogue, kind: str, folder: Any, fusion: Fusion) -> None:
        self.catalogue, self.fusion = catalogue, fusion
        retrieval = catalogue.retrieval(kind, folder, ALL)
        self.search = WordSearch(retrieval.filter.lists)
        self.channels = Channels(retrieval, WordChannel(self.search, retrieval.filter), fusion, WIDTHS)
        texts = {name: tf.TensorSpec([None, width], tf.string) for name, width in WIDTHS.items()}
        self._call = tf.function(self._answer, autograph=False).get_concrete_function(
            tf.TensorSpec([None, DIM], tf.float32),
            tf.TensorSpec([None], tf.string),
            tf.TensorSpec([None], tf.int32),
            texts | {"price_range": tf.TensorSpec([None, 2], tf.float32)},
        )

    def _answer(self, embeddings: tf.Tensor, queries: tf.Tensor, k: tf.Tensor, inputs: dict[str, tf.Tensor]) -> Any:
        conditions = Conditions.read(inputs, self.channels.vectors.items.wanted_words)
        return self.channels(embeddings, tf.strings.split(queries), k, conditions)

    def ask(self, embeddings: np.ndarray, requests: Sequence[dict[str, Any]]) -> list[list[tuple[int, float, int]]]:
        """Of each request the rows, scores and channels of its k places."""
        queries = tf.constant([one["query"] for one in requests], tf.string)
        k = tf.constant([one["k"] for one in requests], tf.int32)
        found = self._call(tf.constant(embeddings, tf.float32), queries, k, inputs_of(requests))
        rows = zip(*(one.numpy().tolist() for one in (found.rows, found.scores, found.channels)), strict=True)
        answers = [list(zip(*one, strict=True)) for one in rows]
        for answer, one in zip(answers, requests, strict=True):
            assert all(place == (-1, NO_SCORE, 0) for place in answer[one["k"] :])
        return [answer[: one["k"]] for answer, one in zip(answers, requests, strict=True)]

    def expected(self, embedding: np.ndarray, one: dict[str, Any]) -> list[tuple[int, float, int]]:
        """The same of one request, each list read off the items."""
        depth = max(one["k"], 100)
        vector = self.catalogue.expected(embedding, one | {"k": depth}) if self.fusion.asks_vectors else []
        rows = [row for row, score in enumerate(self._word_scores(one["query"])) if score > 0]
        scores = dict(enumerate(self._word_scores(one["query"])))
        rows = [row for row in rows if self.catalogue.meets(row, one)]
        words = [(row, scores[row]) for row in sorted(rows, key=lambda row: -scores[row])[:depth]]
        weights = self.fusion.of(tf.constant([0]))
        parts = [
            (tf.constant([[score for _, score in one]]), tf.constant([[row for row, _ in one]], tf.int32))
            if one
            else (tf.zeros([1, 0]), tf.zeros([1, 0], tf.int32))
            for one in (vector, words)
        ]
        k = one["k"]
        found = fuse(self.fusion.by, *parts, weights, tf.constant([k]), tf.constant(k))
        return list(zip(*(part[0].numpy().tolist() for part in (found[1], found[0], found[2])), strict=True))

    def _word_scores(self, query: str) -> list[float]:
        """Of every item, fresh ones behind."""
        items = self.channels.words.filter
        asked = self.search.asked(tf.strings.split([query]))
        of_index = self.search.scores_of(asked, tf.range(ITEMS))
        fresh = self.search.fresh_scores(asked, items.fresh_words, items.fresh_impacts)
        return [*of_index[0].numpy().tolist(), *fresh[0].numpy().tolist()]


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return Catalogue()


@pytest.fixture(scope="module", params=[("brute_force", 0), ("portable", 1), ("scann", 1), ("portable", 2)])
def shop(request: pytest.FixtureRequest, catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Every kind of index, and every way to fuse."""
    kind, number = request.param
    return Shop(catalogue, kind, tmp_path_factory.mktemp(kind), FUSIONS[number])


def asked() -> st.SearchStrategy[dict[str, Any]]:
    """A request with words, any conditions or none."""
    words = st.lists(st.sampled_from([*WORDS, "acme", "nord", "unheard"]), max_size=4).map(" ".join)
    return st.tuples(request(), words).map(lambda pair: pair[0] | {"query": pair[1]})


def like(found: Sequence[tuple[int, float, int]]) -> list[tuple[int, int]]:
    return [(row, channel) for row, _, channel in found]


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(requests=st.lists(asked(), min_size=1, max_size=4), seed=st.integers(0, 9))
def test_answers(shop: Shop, requests: list[dict[str, Any]], seed: int) -> None:
    """Both lists fused, of a request alone and in any batch."""
    embeddings = np.random.default_rng(seed).normal(size=(len(requests), DIM)).astype(np.float32)
    for row, found in enumerate(shop.ask(embeddings, requests)):
        expected = shop.expected(embeddings[row], requests[row])
        assert like(found) == like(expected)
        assert [score for _, score, _ in found] == pytest.approx([score for _, score, _ in expected], abs=1e-4)
        (alone,) = shop.ask(embeddings[row : row + 1], [requests[row]])
        assert like(alone) == like(found)


@pytest.mark.parametrize(
    "given", [{"allowed_leaves": ["shoes", "hats"]}, {"allowed_brands": ["nord"]}, {"price_range": (5, 9)}]
)
def test_of_few_items_all_are_found_by_words_that_many_have(
    given: dict[str, Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (word_lists, lists_in_graph):
        monkeypatch.setattr(module, "BEST", 4)
    monkeypatch.setattr(word_lists, "LONG", 8)
    shop = Shop(Catalogue(), "brute_force", tmp_path, FUSIONS[2])
    assert shop.search.lists.first
    embedding = np.zeros((1, DIM), np.float32)
    one = {"query": "w0 w1 w2", "k": 60} | given
    (found,) = shop.ask(embedding, [one])
    assert like(found) == like(shop.expected(embedding[0], one)) and len([row for row, _, _ in found if row >= 0]) > 12


def test_a_fresh_item_is_found_by_its_words(shop: Shop, catalogue: Catalogue) -> None:
    row = next(row for row in range(ITEMS, len(catalogue.items)) if catalogue.alive[row] and catalogue.words[row])
    words = " ".join(sorted(catalogue.words[row]))
    (found,) = shop.ask(np.zeros([1, DIM], np.float32), [{"query": words, "k": 100}])
    assert {channel for one, _, channel in found if one == row} <= {2, 3} and row in [one for one, _, _ in found]
    assert all(catalogue.alive[one] for one, _, _ in found if one >= 0)


def test_vectors_alone(catalogue: Catalogue, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Without words what vectors find is the answer, its scores their own."""
    retrieval = catalogue.retrieval("brute_force", tmp_path_factory.mktemp("alone"), ALL)
    channels = Channels(retrieval, None, Fusion("ranks", ((1.0, 0.0),)), WIDTHS)
    embedding = np.random.default_rng(2).normal(size=(1, DIM)).astype(np.float32)
    found = channels(tf.constant(embedding), tf.strings.split(["w1"]), tf.constant([7]), None)
    expected = catalogue.expected(embedding[0], {"k": 7})
    assert found.rows.numpy().tolist() == [[row for row, _ in expected]]
    assert found.scores[0].numpy() == pytest.approx([score for _, score in expected], abs=1e-5)
    assert found.channels.numpy().tolist() == [[1] * 7]


def test_weights_hang_on_the_kind_of_query(catalogue: Catalogue, tmp_path: Any) -> None:
    """By the number of words: vectors alone for one, words alone for more."""
    retrieval = catalogue.retrieval("brute_force", tmp_path, ALL)
    words = WordChannel(WordSearch(retrieval.filter.lists), retrieval.filter)
    kinds = ways_to_tell([], [], 256, 32)["word_count"]
    by_kind = Fusion("scores", ((1.0, 0.0), (0.0, 1.0), (0.0, 1.0)))
    channels = Channels(retrieval, words, by_kind, WIDTHS, kinds)
    embeddings = tf.constant(np.random.default_rng(2).normal(size=(2, DIM)), tf.float32)
    queries = tf.strings.split([WORDS[0], f"{WORDS[0]} {WORDS[1]}"])
    found = channels(embeddings, queries, tf.constant([7, 7]), None)
    assert [set(row) - {0} for row in found.channels.numpy().tolist()] == [{1}, {2}]
