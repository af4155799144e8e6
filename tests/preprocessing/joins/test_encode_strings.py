"""Strings to ids in a worker's batches."""

from __future__ import annotations

import gc

import pytest

from preprocessing.config import PricesConfig, TextConfig
from preprocessing.config_vocabularies import VocabulariesConfig
from preprocessing.joins import encode_strings
from preprocessing.joins.encode_strings import Encoder, count_grains

TEXTS = ["red sofa", "红色沙发", "", "Éclair", "sofa", "沙发 sofa", "red"]


@pytest.fixture(autouse=True, params=[2, 8_192])
def _batch(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encode_strings, "_BATCH", request.param)


def test_texts_of_any_script_keep_their_order() -> None:
    words = {"word": ["red", "sofa", "沙", "发", "éclair"], "char": ["s"], "price": ["all\t0.0"]}
    encoder = Encoder.of(words, VocabulariesConfig().hash_buckets() | {"word": 3}, TextConfig(), PricesConfig())
    together = encoder.texts(TEXTS, ("word", "char"))
    assert together == [encoder.texts([text], ("word", "char"))[0] for text in TEXTS]
    assert together[0][0] == [4, 5]


def test_counts_are_of_every_script() -> None:
    counts = {text: place + 1 for place, text in enumerate(TEXTS)}
    counted = count_grains(counts, ("word",), TextConfig())
    assert counted["word", "sofa"] == 1 + 5 + 6
    assert counted["word", "沙"] == 2 + 6
    assert counted["word", "éclair"] == 4


def test_queries_need_the_vocabularies_of_their_grains_alone() -> None:
    words = {"word": ["sofa"], "char": ["s"], "bigram": ["so"]}
    encoder = Encoder.of(words, VocabulariesConfig().hash_buckets() | {"word": 3}, TextConfig(), PricesConfig())
    assert encoder.texts(["sofa"], ("word",)) == [([4],)]


def test_no_collection_looks_through_tensorflow() -> None:
    assert gc.get_freeze_count() > 100_000
