"""Requests made of the catalogue: what they ask, that they are as records are, and how they change the odds."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.config import PricesConfig, TextConfig
from preprocessing.data.features import PRICE, Feature, parsing_spec
from preprocessing.joins.encode_strings import Encoder
from trainer.config import DataConfig, LossConfig, TrainerConfig
from trainer.data.catalog_requests import CatalogRequests, joined, mixed_log_prob, request_names
from trainer.data.dataset import catalog, key_of, record_files, requests
from trainer.data.training_data import TrainingData

GRAINS = ("query_char", "query_bigram", "query_word")
STAGES = [f"{stage}_{name}" for stage in ("ordered", "clicked", "shown") for name in ("item_id", "log_prob")]
NAMES = {*GRAINS, *STAGES, "request_id", "query", "history_word", "short_item", "clicked_leaf", "clicked_title_word"}
NAMES |= {"clicked_position"}
ITEM_NAMES = {"log_prob", "leaf", "title_word"}
CONFIG = DataConfig(batch=64, shuffle=100, readers=3, prefetch=2, catalog_requests=0.375)
MADE, LOGGED = 24, 40


def training(data: str, seed: int = 1) -> TrainingData:
    config = TrainerConfig(seed=seed, data=CONFIG, loss=LossConfig(catalog_negatives=32))
    return TrainingData(data, config, NAMES, ITEM_NAMES)


def steps(data: tf.data.Dataset, count: int) -> list[list[tuple[Any, ...]]]:
    """Of each step its requests: id, query, clicked items, and what is known of them."""
    names = ("request_id", "query_word", "clicked_key", "clicked_log_prob", "clicked_title_word")
    return [
        [tuple(map(str, one)) for one in zip(*(_rows(batch["requests"][name]) for name in names), strict=True)]
        for batch in itertools.islice(data, count)
    ]


def _rows(values: Any) -> list[Any]:
    return values.to_list() if isinstance(values, tf.RaggedTensor) else values.numpy().tolist()


@pytest.fixture(scope="module")
def live(data: str) -> dict[str, Any]:
    """Every live item, by column."""
    return next(iter(catalog(data, 10_000)))


@pytest.fixture(scope="module")
def made(data: str, spec: dict[str, Any], live: dict[str, Any]) -> dict[str, Any]:
    """A request for each of them, in their order."""
    count = spec["items"]
    return CatalogRequests(data, spec, NAMES, 1)(tf.range(count, dtype=tf.int64), count, live)


def test_words_of_an_item_ask_and_the_item_is_the_click(made: dict[str, Any], live: dict[str, Any]) -> None:
    count = len(live["item_id"])
    assert made["request_id"].numpy().tolist() == request_names(live["item_id"]).numpy().tolist()
    items = zip(*(live[name].numpy() for name in ("brand_name", "title", "leaf_name")), strict=True)
    for query, (brand, title, leaf) in zip(made["query"].numpy(), items, strict=True):
        assert query and query in b"\n".join([brand + b" " + title, leaf.replace(b"_", b" ")])
        assert len(query.split()) <= 3
    assert {len(query.split()) for query in made["query"].numpy()} == {1, 2, 3}
    for name in ("item_id", "leaf", "log_prob", "title_word"):
        assert made[f"clicked_{name}"].to_list() == [[one] for one in _rows(live[name])]
    assert made["clicked_position"].to_list() == [[0]] * count
    for name in ("history_word", "short_item", "ordered_item_id", "shown_item_id"):
        assert made[name].nrows() == count and tf.size(made[name].flat_values) == 0


def test_each_feature_of_a_request_is_made_as_records_have_it(data: str, spec: dict[str, Any]) -> None:
    names = {feature["name"] for feature in spec["requests"]}
    record = next(iter(requests(data, "train", 2, names)))
    make = CatalogRequests(data, spec, names, 1)
    (records,) = tf.data.TFRecordDataset(record_files(data, "catalog"), "GZIP").batch(2).take(1)
    both = joined(record, make(tf.range(2, dtype=tf.int64), 2, tf.io.parse_example(records, make.item_spec)))
    assert set(both) == names
    for name, values in both.items():
        assert values.shape[0] == 4 and values.dtype == record[name].dtype
        if name.startswith("clicked_"):
            assert values[2:].row_lengths().numpy().tolist() == [1, 1], name


def test_a_batch_holds_its_share(data: str, made: dict[str, Any]) -> None:
    batch = next(iter(training(data).batches()))["requests"]
    assert all(values.shape[0] == MADE + LOGGED for values in batch.values())
    names = [name.startswith(b"catalog request for ") for name in batch["request_id"].numpy()]
    assert names == [False] * LOGGED + [True] * MADE
    assert set(batch) == {name.replace("_item_id", "_key") for name in made} - {"query"} | {"query_key"}


def test_grains_are_those_that_records_have(data: str, made: dict[str, Any]) -> None:
    """Where a made query is one that somebody typed as well, both have the same ids."""
    typed: dict[bytes, list[Any]] = {}
    for batch in requests(data, "train", 500, {"query", *GRAINS}):
        grains = zip(*(batch[name].to_list() for name in GRAINS), strict=True)
        typed |= dict(zip(batch["query"].numpy().tolist(), map(list, grains), strict=True))
    grains = zip(*(made[name].to_list() for name in GRAINS), strict=True)
    both = [(q, list(ids)) for q, ids in zip(made["query"].numpy(), grains, strict=True) if q in typed]
    assert len({query for query, _ in both}) > 5
    for query, ids in both:
        assert ids == typed[query]


def test_grains_are_those_that_the_pipeline_would_write(data: str, spec: dict[str, Any]) -> None:
    """By the pipeline's own encoder, with the folder's words: known and unknown ones, in any script."""
    grains = [name.removeprefix("query_") for name in GRAINS]
    words = {name: Path(data, f"vocab/{name}.txt").read_text().splitlines() for name in (*spec["vocabularies"], PRICE)}
    buckets = {name: one["hash_buckets"] for name, one in spec["vocabularies"].items()}
    encoder = Encoder.of(words, buckets, TextConfig(), PricesConfig())
    titles = ["Carpet", "garden table", "zyxwv", "Caf\u00e9 \u7ea2\u8272", "USB-C 3.5"]
    items = {name: tf.fill([len(titles)], b"") for name in ("item_id", "brand_name", "leaf_name", "description")}
    make = CatalogRequests(data, spec, set(GRAINS) | {"query"}, 1)
    made = make(tf.range(len(titles), dtype=tf.int64), len(titles), items | {"title": tf.constant(titles)})
    written = encoder.texts([one.decode() for one in made["query"].numpy()], grains)
    assert [list(row) for row in written] == [
        list(row) for row in zip(*(made[name].to_list() for name in GRAINS), strict=True)
    ]


@pytest.mark.parametrize("step", [3, 11])
def test_they_resume_at_any_step(data: str, step: int) -> None:
    assert steps(training(data).batches(step), 3) == steps(training(data).batches(0), step + 3)[step:]


def test_the_seed_decides(data: str) -> None:
    one, again, other = (steps(training(data, seed).batches(), 2) for seed in (1, 1, 2))
    assert one == again != other
    assert [made[1] for made in one[0][LOGGED:]] != [made[1] for made in one[1][LOGGED:]]


@pytest.mark.parametrize("replicas", [2, 4])
def test_replicas_of_one_process_share_the_same_steps(data: str, replicas: int) -> None:
    """The same queries of the same items, however many make them; the odds are those of each replica's own share."""
    alone = steps(training(data).batches(2), 3)
    shares = steps(training(data).batches(2, replicas=replicas), 3 * replicas)
    for number, step in enumerate(alone):
        parts = shares[number * replicas : (number + 1) * replicas]
        assert {len(part) for part in parts} == {64 // replicas}
        together = sorted(request for part in parts for request in part)
        assert [one[:3] for one in together] == [one[:3] for one in sorted(step)]


def test_the_requests_of_a_step_have_names(data: str) -> None:
    names = [one[0] for one in steps(training(data).batches(5), 1)[0]]
    assert [str(one.encode()) for one in training(data).request_ids(5)] == names


def test_the_odds_are_those_of_the_mixture(data: str, live: dict[str, Any]) -> None:
    """In a batch, of its positives and of the shared negatives."""
    batch = next(iter(training(data).batches()))
    keys, odds = [], []
    for stage in ("ordered", "clicked"):
        keys += batch["requests"][f"{stage}_key"].flat_values.numpy().tolist()
        odds += batch["requests"][f"{stage}_log_prob"].flat_values.numpy().tolist()
    share = MADE / len(keys)
    keys += batch["catalog"]["key"].numpy().tolist()
    odds += batch["catalog"]["log_prob"].numpy().tolist()
    by_key = dict(zip(key_of(live["item_id"]).numpy(), np.exp(live["log_prob"]), strict=True))
    expected = [(1 - share) * by_key[key] + share / len(by_key) for key in keys]
    assert np.exp(odds) == pytest.approx(expected, rel=1e-4)


def test_the_odds_by_enumeration() -> None:
    """Over every batch of two positives of the log and one of the catalogue, an item is there as often as p' says."""
    p, items, drawn = np.array([0.7, 0.2, 0.1]), 3, 3
    counts = np.zeros(items)
    for one, other, uniform in itertools.product(range(items), repeat=drawn):
        counts += p[one] * p[other] / items * np.bincount([one, other, uniform], minlength=items)
    mixed = mixed_log_prob(tf.math.log(tf.constant(p, tf.float32)), tf.constant(1 / 3), items)
    assert drawn * np.exp(mixed) == pytest.approx(counts, rel=1e-5)


def test_an_item_without_a_word_is_nobodys_positive(data: str, spec: dict[str, Any]) -> None:
    make = CatalogRequests(data, spec, NAMES, 1)
    nothing = {name: tf.constant([b"", b""]) for name in ("title", "brand_name", "leaf_name", "description")}
    own = {
        "item_id": tf.constant([b"1", b"2"]),
        "leaf": tf.constant([5, 6], tf.int64),
        "log_prob": tf.constant([-1.0, -2.0]),
        "title_word": tf.ragged.constant([[], []], tf.int64, row_splits_dtype=tf.int32),
    }
    own |= nothing | {"title": tf.constant([b"", b"lamp"])}
    made = make(tf.constant([0, 1], tf.int64), 2, own)
    assert made["query"].numpy().tolist() == [b"", b"lamp"]
    assert made["clicked_item_id"].to_list() == [[], [b"2"]]
    assert made["clicked_leaf"].to_list() == [[], [6]]
    assert made["clicked_title_word"].to_list() == [[], [[]]]


def test_vectors_are_beside_those_of_records(data: str, spec: dict[str, Any], live: dict[str, Any]) -> None:
    told = {"dtype": "float32", "width": 3}
    clicked, own = {"name": "clicked_vector", "rank": 1, **told}, {"name": "vector", "rank": 0, **told}
    both = spec | {"requests": [*spec["requests"], clicked], "catalog": [*spec["catalog"], own]}
    items = {name: values[:2] for name, values in live.items()} | {"vector": tf.reshape(tf.range(6.0), [2, 3])}
    made = CatalogRequests(data, both, {"clicked_vector"}, 1)(tf.range(2, dtype=tf.int64), 2, items)
    records = tf.io.parse_example([b"", b""], parsing_spec([Feature(**clicked)]))
    assert joined(records, made)["clicked_vector"].to_list() == [[], [], [[0, 1, 2]], [[3, 4, 5]]]


@pytest.mark.parametrize(("share", "count"), [(0.001, 0), (0.999, 64)])
def test_a_share_that_leaves_nothing(share: float, count: int) -> None:
    with pytest.raises(ValueError, match=rf"are {count} of a batch of 64: the log and the catalogue must each give"):
        DataConfig(batch=64, catalog_requests=share)


def test_clicks_without_a_weight() -> None:
    with pytest.raises(ValueError, match=r"data.catalog_requests are clicks: give clicked a weight"):
        TrainerConfig(data=CONFIG, loss=LossConfig(stage_weights={"ordered": 1.0}))
