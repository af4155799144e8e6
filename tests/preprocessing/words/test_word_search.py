"""The graph's BM25 against its formula: what is found, in which order, of what score."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from preprocessing.words import word_lists, word_search
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.word_lists import build_word_lists, count_words, impacts_of
from preprocessing.words.word_search import NO_SCORE, Candidates, Kept, WordSearch
from tests.preprocessing.words.plain_bm25 import Item, PlainBm25, ragged, words_of

VOCABULARY = ["red", "blue", "shoe", "bag", "acme", "鞋"]
BOOSTS = {"title": 1.0, "brand": 1.0, "description": 0.0}
DESCRIBED = {"title": 1.0, "brand": 0.5, "description": 0.3}

text = st.lists(st.sampled_from(VOCABULARY), max_size=5).map(" ".join)
items_of = st.lists(st.builds(Item, text, st.sampled_from(["", "acme", "red shoe"]), text), min_size=1, max_size=14)
queries_of = st.lists(st.lists(st.sampled_from([*VOCABULARY, "unheard"]), max_size=4).map(" ".join), max_size=3)


def boosts_of(boosts: dict[str, float]) -> np.ndarray:
    return np.array(list(boosts.values()), np.float32)


def search_over(items: Sequence[Item], boosts: dict[str, float] = BOOSTS) -> WordSearch:
    return WordSearch(ListsInGraph(build_word_lists(words_of(items), boosts_of(boosts))))


def found_by(
    search: WordSearch,
    queries: Sequence[str],
    width: int,
    keep: Callable[[tf.Tensor, tf.Tensor], tf.Tensor] | None = None,
) -> Candidates:
    which = Kept(tf.constant(True), keep) if keep else None
    scores, rows = search.search(search.asked(ragged(queries)), tf.constant(width), which)
    return scores.numpy(), rows.numpy()


def step(search: WordSearch, queries: Sequence[str]) -> float:
    """How far a score may be from the formula's: half a step of the impact of each word."""
    weights = search.asked(ragged(queries)).weights.numpy()
    return float(weights.sum(axis=1).max(initial=0)) / 2 + 1e-5


def is_answer(scores: np.ndarray, rows: np.ndarray, expected: np.ndarray, error: float) -> None:
    """One request's answer: those of the best expected scores, in order, each with its own."""
    count = min(len(rows), int((expected > 0).sum()))
    assert (rows[count:] == -1).all() and (scores[count:] == NO_SCORE).all()
    rows, scores = rows[:count], scores[:count]
    assert len(set(rows.tolist())) == count and (rows >= 0).all()
    assert scores == pytest.approx(expected[rows], abs=error)
    assert scores == pytest.approx(np.sort(expected)[::-1][:count], abs=2 * error)
    order = np.lexsort([rows, -scores])
    assert (order == np.arange(count)).all()


@settings(deadline=None, max_examples=60)
@given(items=items_of, queries=queries_of, width=st.integers(1, 16), boosts=st.sampled_from([BOOSTS, DESCRIBED]))
def test_what_is_found(items: list[Item], queries: list[str], width: int, boosts: dict[str, float]) -> None:
    search, plain = search_over(items, boosts), PlainBm25(items, boosts)
    scores, rows = found_by(search, queries, width)
    assert rows.shape == scores.shape == (len(queries), width)
    for place, query in enumerate(queries):
        is_answer(scores[place], rows[place], plain.scores(query), step(search, queries))


@settings(deadline=None, max_examples=30)
@given(items=items_of, queries=queries_of)
def test_a_request_depends_on_itself_alone(items: list[Item], queries: list[str]) -> None:
    search = search_over(items)
    together = found_by(search, queries, 5)
    for place, query in enumerate(queries):
        for one, alone in zip(together, found_by(search, [query], 5), strict=True):
            assert np.array_equal(one[place], alone[0])


@settings(deadline=None, max_examples=30)
@given(items=items_of, query=queries_of.map(" ".join), kept=st.integers(0, 2**14))
def test_only_what_is_kept_is_found(items: list[Item], query: str, kept: int) -> None:
    """It is left out before the cut, so that its place is another's."""
    search, plain = search_over(items), PlainBm25(items, BOOSTS)
    allowed = np.array([kept >> row & 1 for row in range(len(items))], bool)
    scores, rows = found_by(search, [query], 3, lambda _, rows: tf.gather(allowed, rows))
    query = " ".join(query.split()[: word_search.MAX_WORDS])
    is_answer(scores[0], rows[0], np.where(allowed, plain.scores(query), 0), step(search, [query]))


@settings(deadline=None, max_examples=30)
@given(items=items_of, query=queries_of.map(" ".join))
def test_scores_of_rows(items: list[Item], query: str) -> None:
    """Of items in any order, of no item and of one behind the index."""
    search, plain = search_over(items, DESCRIBED), PlainBm25(items, DESCRIBED)
    rows = [len(items), *reversed(range(len(items))), -1, 0]
    scores = search.scores_of(search.asked(ragged([query])), tf.constant(rows))[0].numpy()
    query = " ".join(query.split()[: word_search.MAX_WORDS])
    expected = [plain.score(query, row) if 0 <= row < len(items) else 0 for row in rows]
    assert scores == pytest.approx(expected, abs=step(search, [query]))


def test_fresh_items_are_weighed_as_the_catalogue_weighs() -> None:
    """By its rarities and its mean length; a word that it does not have is the rarest."""
    items = [Item("red shoe", "acme"), Item("red bag", "", "blue"), Item("red red bag")]
    search = search_over(items, DESCRIBED)
    fresh = [Item("red shoe", "acme"), Item("novel bag", "", "blue"), Item("blue")]
    counted = count_words(words_of(fresh), boosts_of(DESCRIBED))
    impacts = impacts_of(counted, len(fresh), search.lists.means.numpy())
    terms, values = np.full((3, 8), word_lists.NO_TERM, np.int64), np.zeros((3, 8), np.uint8)
    for row in range(len(fresh)):
        mine = counted.rows == row
        terms[row, : mine.sum()], values[row, : mine.sum()] = counted.terms[mine], impacts[mine]

    def scores(query: str) -> list[float]:
        asked = search.asked(ragged([query]))
        return search.fresh_scores(asked, tf.constant(terms), tf.constant(values))[0].numpy().tolist()

    plain = PlainBm25(items, DESCRIBED)
    assert scores("shoe red")[0] == pytest.approx(plain.score("shoe red", 0), rel=0.02)
    assert scores("novel")[1] > scores("bag")[1] > 0
    assert scores("novel")[0] == scores("novel")[2] == 0
    assert 0 < scores("blue")[1] < scores("blue")[2]


@pytest.fixture
def short_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a catalogue has them that is larger than a test's."""
    shorten(monkeypatch)


def shorten(patch: pytest.MonkeyPatch) -> None:
    """Makes lists long that hardly are."""
    patch.setattr(word_lists, "BEST", 32)
    patch.setattr(word_lists, "LONG", 64)
    patch.setattr("preprocessing.words.lists_in_graph.BEST", 32)


def made(count: int) -> list[Item]:
    """Items of words of which the first ones are in most of them."""
    random = np.random.default_rng(7)
    return [
        Item(" ".join(f"w{min(rank, 60)}" for rank in random.zipf(1.5, size=random.integers(1, 9))))
        for _ in range(count)
    ]


def kept(requests: tf.Tensor, rows: tf.Tensor) -> tf.Tensor:
    """Of each request other rows."""
    return (rows + requests) % 3 > 0


@pytest.fixture(scope="module")
def large() -> WordSearch:
    """Lists of which some are long, over a thousand items."""
    with pytest.MonkeyPatch.context() as patch:
        shorten(patch)
        return search_over(made(1000))


@pytest.mark.usefixtures("short_lists")
def test_a_rare_word_finds_all_its_items_and_long_words_count_in_them() -> None:
    """Scores are exact, though of the long words most postings are not read."""
    items = made(1000)
    search, plain = search_over(items), PlainBm25(items, BOOSTS)
    assert search.lists.filters.shape[0] > 0
    for query in ("w12 w1", "w1 w12 w2", "w14", "w1 w2 w11 w14"):
        scores, rows = found_by(search, [query], 5)
        expected = plain.scores(query)
        error = step(search, [query])
        assert (rows[0] >= 0).all()
        assert scores[0] == pytest.approx(expected[rows[0]], abs=error)
        assert scores[0] == pytest.approx(np.sort(expected)[::-1][:5], abs=2 * error)


@pytest.mark.usefixtures("short_lists")
@settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(queries=st.lists(st.lists(st.integers(0, 60), max_size=5), max_size=9), count=st.sampled_from([1, 3, 8]))
def test_many_requests_are_answered_as_each_alone(large: WordSearch, queries: list[list[int]], count: int) -> None:
    """In pieces of whatever size, and each request with what may be found for it."""
    asked = [" ".join(f"w{one}" for one in query) for query in queries]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(word_search, "_TOGETHER", count)
        together = found_by(large, asked, 40, kept)
    assert together[0].shape == (len(asked), 40)
    for number, query in enumerate(asked):
        alone = found_by(large, [query], 40, lambda requests, rows: kept(number + requests, rows))  # noqa: B023
        for one, other in zip(together, alone, strict=True):
            assert np.array_equal(one[number], other[0])


@pytest.mark.usefixtures("short_lists")
def test_of_one_long_word_the_best_are_found() -> None:
    items = made(400)
    search, plain = search_over(items), PlainBm25(items, BOOSTS)
    scores, rows = found_by(search, ["w1"], 40)
    assert (rows[0, :32] >= 0).all() and (rows[0, 32:] == -1).all()
    assert scores[0, :32] == pytest.approx(np.sort(plain.scores("w1"))[::-1][:32], abs=step(search, ["w1"]))


def test_words_beyond_those_looked_for_are_left_out() -> None:
    items = [Item(f"w{number}") for number in range(20)]
    query = " ".join(f"w{number}" for number in range(20))
    _, rows = found_by(search_over(items), [query], 20)
    assert sorted(rows[0].tolist()) == [-1] * 4 + list(range(word_search.MAX_WORDS))


def test_in_a_saved_graph_it_is_the_same() -> None:
    """As one call of several requests, of whatever width."""
    search, queries = search_over(made(60)), ["w1 w3", "", "w2 unheard", "w1 w1"]
    call = tf.function(lambda words, width: search.search(search.asked(words), width), autograph=False)
    call = call.get_concrete_function(tf.RaggedTensorSpec([None, None], tf.string, 1), tf.TensorSpec([], tf.int32))
    for width in (1, 3, 100):
        for one, eager in zip(call(ragged(queries), tf.constant(width)), found_by(search, queries, width), strict=True):
            assert np.array_equal(one.numpy(), eager)


def test_a_catalogue_without_words() -> None:
    scores, rows = found_by(search_over([Item(""), Item("")]), ["red", ""], 3)
    assert (rows == -1).all() and (scores == NO_SCORE).all()
