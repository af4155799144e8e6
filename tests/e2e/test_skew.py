"""The served graph and the records read every text alike."""

from __future__ import annotations

import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.config import PricesConfig, TextConfig
from preprocessing.config_vocabularies import VocabulariesConfig
from preprocessing.joins.encode_strings import Encoder
from preprocessing.text.price_bands import PriceBands
from preprocessing.text.vocabulary import TextEncoder, Vocabulary
from tests.e2e import market
from tests.e2e.conftest import Run


def graph(run: Run) -> TextEncoder:
    """The encoder over the written vocabularies, as a server would build it."""
    text, buckets = TextConfig(), VocabulariesConfig().hash_buckets()
    grains = {name: Vocabulary(market.vocabulary(run.data, name), buckets[name]) for name in text.grains}
    return TextEncoder(grains, text.max_chars, text.max_words)


def test_queries(finished: Run) -> None:
    encode = graph(finished)
    records = [one for split in ("train", "validation", "eval") for one in market.examples(finished.data, split)]
    queries = {one["query"][0] for one in records}
    assert {odd.encode() for odd in market.ODD_QUERIES} <= queries
    found = encode(tf.constant([one["query"][0] for one in records]))
    for grain in ("char", "bigram", "word"):
        assert found[grain].to_list() == [one.get(f"query_{grain}", []) for one in records]


def test_previous_queries_and_titles(finished: Run) -> None:
    encode = graph(finished)
    words = {
        query: tuple(ids)
        for query, ids in zip(
            (one["query"] for one in finished.log.searches),
            encode(tf.constant([one["query"] for one in finished.log.searches]))["word"].to_list(),
            strict=True,
        )
    }
    for record in market.examples(finished.data, "train"):
        flat, known = list(record.get("history_word", [])), set(words.values())
        for length in record.get("history_word_length", []):
            assert tuple(flat[:length]) in known
            del flat[:length]
        assert not flat
    items = market.examples(finished.data, "catalog")
    titles = encode(tf.constant([one["title"][0] for one in items]))
    for grain in ("bigram", "word"):
        assert titles[grain].to_list() == [one.get(f"title_{grain}", []) for one in items]


@pytest.fixture(scope="module")
def both(finished: Run) -> tuple[Encoder, TextEncoder]:
    """What a worker encodes with and what a server does, each traced once."""
    buckets = VocabulariesConfig().hash_buckets()
    words = {name: market.vocabulary(finished.data, name) for name in (*buckets, "price") if name != "trigram"}
    return Encoder.of(words, buckets, TextConfig(), PricesConfig()), graph(finished)


def test_prices(finished: Run) -> None:
    """By the written table, as a server reads it; every price that a record holds, in every place."""
    bands = PriceBands.of_file(str(finished.data / "vocab/price.txt"), 11, 1.25)
    items = market.examples(finished.data, "catalog")
    columns = [[one[name][0] for one in items] for name in ("price_value", "leaf_name", "top_name")]
    found = bands(*map(tf.constant, columns)).numpy().tolist()
    assert found == [one["price"][0] for one in items]
    assert len(set(found)) > 5
    by_item = {one["item"][0]: one["price"][0] for one in items}
    for record in market.examples(finished.data, "train"):
        for prefix in ("clicked", "ordered", "shown", "realtime", "short", "long_click"):
            for key, band in zip(record.get(f"{prefix}_item", []), record.get(f"{prefix}_price", []), strict=True):
                assert band == by_item.get(key, band)  # what is out of stock is in no catalogue


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(st.text(max_size=60), min_size=1, max_size=8))
def test_a_worker_and_the_graph_agree_on_any_text(both: tuple[Encoder, TextEncoder], texts: list[str]) -> None:
    worker, server = both
    texts = [one.encode("utf-8", "replace").decode() for one in texts]
    rows = worker.texts(texts, TextConfig().grains)
    found = server(tf.constant([one.encode() for one in texts]))
    for number, grain in enumerate(TextConfig().grains):
        assert [row[number] for row in rows] == found[grain].to_list()
