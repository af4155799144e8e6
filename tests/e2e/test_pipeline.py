"""The whole pipeline: its files, its accounts, and that they follow from the log alone."""

from __future__ import annotations

import collections
import json
import math
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import tensorflow as tf

from preprocessing.command.experiment import load_section
from preprocessing.data.features import Feature, parsing_spec
from tests.e2e import market
from tests.e2e.conftest import Run


def test_the_folder_is_as_designed(finished: Run) -> None:
    shards = [
        f"{split}-{number:05d}-of-{count:05d}.tfrecord.gz"
        for split, count in (("train", 8), ("validation", 1), ("eval", 2), ("catalog", 2))
        for number in range(count)
    ]
    words = [
        f"vocab/{name}.txt" for name in ("char", "bigram", "word", "item", "brand", "shop", "leaf", "top", "price")
    ]
    fixed = {*shards, *words, "spec.json", "stats.json", "config.yaml", "_SUCCESS"}
    files = {path for path in market.content(finished.data) if not path.startswith("rejected/")}
    assert files == fixed
    assert not (finished.data / "_staging").exists()
    reloaded = load_section(str(finished.data / "config.yaml"), "preprocessing", type(market.config()))
    assert reloaded == market.config()


def test_nothing_is_lost(finished: Run) -> None:
    streams = finished.stats["streams"]
    for name, records in finished.log._asdict().items():
        stream = streams[name]
        assert stream["in"] == len(records)
        left_out = sum(stream["rejected"].values()) + sum(stream["excluded"].values())
        assert stream["in"] == stream["used"] + left_out
    assert streams["searches"]["used"] == sum(finished.stats["examples"].values())
    assert streams["searches"]["excluded"]["duplicate"] == 1
    assert streams["searches"]["excluded"]["further page"] == 1
    attribution = finished.stats["attribution"]
    assert sum(attribution.values()) == streams["actions"]["in"] - streams["actions"]["excluded"]["duplicate"]
    assert all(attribution.values())
    assert streams["catalog"]["excluded"] == {"duplicate": 2, "out of stock": 20}
    assert streams["actions"]["excluded"]["duplicate"] == 2
    assert streams["actions"]["rejected"] == {"unknown item": 1}
    assert finished.stats["shown_unknown_items"] > 0
    assert json.loads((finished.data / "stats.json").read_text()) == finished.stats


def test_rejected_records_are_told_with_reason_and_source(finished: Run) -> None:
    (line,) = market.rejected(finished.data)
    assert (line["stream"], line["reason"]) == ("actions", "unknown item")
    assert line["source"].endswith("raw/actions.jsonl")
    assert "gone" in line["record"]


def test_train_is_strictly_before_validation_and_that_before_eval(finished: Run) -> None:
    splits = {name: market.examples(finished.data, name) for name in ("train", "validation", "eval")}
    assert {name: len(examples) for name, examples in splits.items()} == finished.stats["examples"]
    begins = [0, finished.stats["validation_from_ms"], finished.stats["eval_from_ms"], math.inf]
    for begin, end, examples in zip(begins[:-1], begins[1:], splits.values(), strict=True):
        assert examples and all(begin <= one["ts"][0] < end for one in examples)
    ids = [one["request_id"][0] for examples in splits.values() for one in examples]
    assert len(set(ids)) == len(ids)


def test_the_catalogue_is_what_is_live(finished: Run) -> None:
    live = [one["item_id"] for one in finished.log.catalog[:200] if one["in_stock"]]
    items = {one["item_id"][0].decode(): one for one in market.examples(finished.data, "catalog")}
    assert sorted(items) == sorted(live)
    assert items["item 4"]["title"] == [b"another title"]  # its newest record
    check_log_probs(finished.data)


def test_a_positive_is_counted_where_it_is_written(finished: Run, tmp_path: Path) -> None:
    few = market.config("preprocessing.stages={ordered: 1, clicked: 1, shown: 8}")
    market.process(finished.raw, tmp_path / "data", settings=few)
    check_log_probs(tmp_path / "data")


def check_log_probs(data: Path) -> None:
    """From the written records alone: an item's probability follows from how often it is written as a positive."""
    items = market.examples(data, "catalog")
    assert math.isclose(sum(math.exp(one["log_prob"][0]) for one in items), 1.0, rel_tol=1e-5)
    counts = {one["item_id"][0]: one.get("count", [0])[0] for one in items}
    positives: collections.Counter[bytes] = collections.Counter()
    for request in market.examples(data, "train"):
        positives.update(request.get("ordered_item_id", []) + request.get("clicked_item_id", []))
    assert {item: positives[item] for item in counts} == counts
    total = sum(counts.values()) + len(counts)
    for one in items:
        assert math.isclose(one["log_prob"][0], math.log((counts[one["item_id"][0]] + 1) / total), rel_tol=1e-5)


def test_vocabularies_are_most_frequent_first(finished: Run) -> None:
    items = market.vocabulary(finished.data, "item")
    assert len(items) == len(set(items)) == 200
    cut, counts = finished.stats["validation_from_ms"], collections.Counter(dict.fromkeys(items, 1))
    unique = {(one["user_id"], one["item_id"], one["action"], one["ts"]): one for one in finished.log.actions}
    requests = {one["request_id"]: one["ts"] for one in finished.log.searches}
    for one in unique.values():
        if max(one["ts"], requests.get(one.get("request_id"), 0)) < cut and one["item_id"] in counts:
            counts[one["item_id"]] += 1
    assert items == sorted(counts, key=lambda item: (-counts[item], item))


def test_rare_items_share_the_buckets(finished: Run, tmp_path: Path) -> None:
    settings = market.config("preprocessing.vocabularies.item.min_count=3")
    market.process(finished.raw, tmp_path / "data", settings=settings)
    items, everything = (market.vocabulary(data, "item") for data in (tmp_path / "data", finished.data))
    assert 0 < len(items) < 200 and items == everything[: len(items)]
    spec = json.loads((tmp_path / "data" / "spec.json").read_text())
    assert spec["vocabularies"]["item"] == {"words": len(items), "hash_buckets": 100, "ids": len(items) + 101}


def test_the_spec_reads_every_record(finished: Run) -> None:
    spec = json.loads((finished.data / "spec.json").read_text())
    for part, patterns in (("requests", ("train-*", "validation-*", "eval-*")), ("catalog", ("catalog-*",))):
        features = [Feature(**feature) for feature in spec[part]]
        files = [str(path) for pattern in patterns for path in finished.data.glob(pattern)]
        records = list(tf.data.TFRecordDataset(files, "GZIP").as_numpy_iterator())
        parsed = tf.io.parse_example(records, parsing_spec(features))
        known = {feature.name for feature in features}
        for record in records:
            names = set(tf.train.Example.FromString(record).features.feature)
            assert {name.removesuffix("_length") for name in names} <= known
        if part == "requests":
            titles, shown = parsed["shown_title_word"], parsed["shown_item"]
            assert titles.row_lengths().numpy().tolist() == shown.row_lengths().numpy().tolist()
            assert parsed["history_word"].ragged_rank == 2
    assert spec["items"] == 180
    assert spec["vocabularies"]["item"] == {"words": 200, "hash_buckets": 100, "ids": 301}


def test_the_same_again_byte_for_byte(finished: Run, tmp_path: Path) -> None:
    market.process(finished.raw, tmp_path / "again")
    assert market.content(tmp_path / "again") == market.content(finished.data)


def test_several_processes_give_the_same_bytes(finished: Run, tmp_path: Path) -> None:
    flags = ("--direct_running_mode=multi_processing", "--direct_num_workers=2")
    market.process(finished.raw, tmp_path / "data", *flags)
    assert market.content(tmp_path / "data") == market.content(finished.data)


def test_how_the_log_lies_in_files_changes_nothing(finished: Run, tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    raw.mkdir()
    shuffled = {
        name: random.Random(2).sample(records, len(records)) for name, records in finished.log._asdict().items()
    }
    for place in range(3):
        part = market.lines(shuffled["searches"][place::3])
        market.write_gzip(raw / f"searches-{place}.jsonl.gz", part)
    for name in ("actions", "catalog"):
        columns = dict.fromkeys(key for record in shuffled[name] for key in record)
        table = pa.Table.from_pylist([{**columns, **record} for record in shuffled[name]])
        pq.write_table(table, raw / f"{name}.parquet", row_group_size=100)
    market.process(raw, tmp_path / "data")
    ours, theirs = market.content(tmp_path / "data"), market.content(finished.data)
    for files in (ours, theirs):
        for name in [name for name in files if name.startswith("rejected/")]:
            del files[name]  # these name their source
    assert ours == theirs


def test_another_seed_gives_another_order_of_the_same_records(finished: Run, tmp_path: Path) -> None:
    market.process(finished.raw, tmp_path / "data", settings=market.config("preprocessing.seed=18"))
    ours, theirs = (market.examples(data, "train") for data in (tmp_path / "data", finished.data))
    assert ours != theirs
    assert sorted(ours, key=_request) == sorted(theirs, key=_request)


def _request(example: market.Record) -> bytes:
    return example["request_id"][0]


def test_a_rerun_replaces_what_an_earlier_run_left(finished: Run, tmp_path: Path) -> None:
    data = tmp_path / "data"
    market.process(finished.raw, data, settings=market.config("preprocessing.output.train_shards=11"))
    market.process(finished.raw, data)
    assert market.content(data) == market.content(finished.data)
