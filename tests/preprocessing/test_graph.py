"""The pipeline as a step of somebody's own: plain dicts in, examples out, no file anywhere."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import apache_beam as beam
import pytest
import tensorflow as tf
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import BeamAssertException, assert_that, equal_to
from apache_beam.transforms.window import FixedWindows, TimestampedValue

from preprocessing.command.runners import beam_options, runner_of
from preprocessing.config import JoinConfig, PreprocessingConfig
from preprocessing.config_input import CatalogConfig, InputConfig
from preprocessing.data.write_folder import DataParts
from preprocessing.graph import METRICS, MakeExamples, Partitions
from preprocessing.logs import heavy_users
from preprocessing.logs.sources import Source

DAY, START = 86_400_000, 1_700_006_400_000  # a midnight
ITEMS = [
    {"item_id": f"i{number}", "title": f"red sofa {number}", "brand": "acme", "shop": "s", "in_stock": number != 3}
    for number in range(4)
]
SEARCHES = [
    {"request_id": f"r{day}", "ts": START + day * DAY, "user_id": "u", "query": f"sofa {day}", "results": ["i0", "i1"]}
    for day in range(10)
]
ACTIONS = [
    {"ts": START + day * DAY + 1_000, "user_id": "u", "item_id": "i0", "action": "click", "request_id": f"r{day}"}
    for day in range(10)
]
FEW = Partitions(users=3, items=2)
Streams = dict[str, list[Any]]
ALL: Streams = {"catalog": ITEMS, "searches": SEARCHES, "actions": ACTIONS}


def pipeline() -> test_pipeline.TestPipeline:
    options = beam_options([], [], 0)
    return test_pipeline.TestPipeline(runner=runner_of(options), options=options)


def made(
    root: beam.Pipeline,
    streams: Streams,
    config: PreprocessingConfig | None = None,
    partitions: Partitions = FEW,
) -> DataParts:
    collections = {name: root | name >> beam.Create(records) for name, records in streams.items()}
    return collections | MakeExamples(config or PreprocessingConfig(), partitions)


def features(example: bytes) -> dict[str, list]:
    read = tf.train.Example.FromString(example).features.feature
    return {name: list(getattr(one, one.WhichOneof("kind")).value) for name, one in read.items()}


def test_plain_dicts_become_examples() -> None:
    def of_the_last_day(examples: Iterable[tuple[str, bytes]]) -> None:
        found = dict(examples)
        if sorted(found) != ["u\nr7", "u\nr8", "u\nr9"]:
            raise BeamAssertException(sorted(found))
        last = features(found["u\nr9"])
        held = {name: last[name] for name in ("query", "clicked_item_id", "shown_item_id")}
        if held != {"query": [b"sofa 9"], "clicked_item_id": [b"i0"], "shown_item_id": [b"i1"]}:
            raise BeamAssertException(held)

    with pipeline() as root:
        parts = made(root, ALL)
        train = parts.train | "Train keys" >> beam.Keys()
        assert_that(train, equal_to([f"u\nr{day}" for day in range(6)]), label="train")
        assert_that(parts.validation | "Validation" >> beam.Keys(), equal_to(["u\nr6"]), label="validation")
        assert_that(parts.eval, of_the_last_day, label="eval")
        assert_that(parts.catalog | beam.Keys(), equal_to(["i0", "i1", "i2"]), label="catalog")
        words = parts.vocabularies | beam.Filter(lambda named: named[0] in ("brand", "shop"))
        assert_that(words, equal_to([("brand", ["acme"]), ("shop", ["s"])]), label="vocabularies")
        split = parts.split | beam.Map(tuple)
        assert_that(split, equal_to([(START, START + 9 * DAY, (START + 6 * DAY, START + 7 * DAY), 0)]), label="split")


def test_a_catalogue_alone_asks_for_its_live_items() -> None:
    def of_live_items(examples: Iterable[tuple[str, bytes]]) -> None:
        found = {key: features(example) for key, example in examples}
        if sorted(found) != [f"\ncatalog request for i{number}" for number in range(3)]:
            raise BeamAssertException(sorted(found))
        for key, example in found.items():
            (item,), (query,) = example["clicked_item_id"], example["query"]
            if not key.endswith(item.decode()) or query.decode() not in f"acme red sofa {key[-1]}":
                raise BeamAssertException(example)

    with pipeline() as root:
        parts = made(root, {"catalog": ITEMS})
        splits = (parts.train, parts.validation, parts.eval)
        assert_that(splits | "Splits" >> beam.Flatten(), of_live_items, label="examples")
        for name, one in zip(("train", "validation", "eval"), splits, strict=True):
            sizes = one | f"Count {name}" >> beam.combiners.Count.Globally()
            assert_that(sizes, equal_to([1]), label=name)


def test_what_cannot_be_used_comes_out_with_its_reason_and_all_is_counted() -> None:
    streams = {
        **ALL,
        "searches": [*SEARCHES, {"ts": START}, "no dict"],
        "actions": [*ACTIONS, {**ACTIONS[0], "item_id": "x"}],
    }
    expected = [("searches", "missing query"), ("searches", "not an object"), ("actions", "unknown item")]
    with pipeline() as root:
        parts = made(root, streams)
        reasons = parts.rejected | beam.Map(lambda one: (one["stream"], one["reason"]))
        assert_that(reasons, equal_to(expected), label="rejected")
        counts = parts.counts | beam.Filter(
            lambda count: count[0][0] in ("searches", "examples") and count[0][1] != "filled"
        )
        told = [
            (("searches", "in"), 12),
            (("searches", "used"), 10),
            (("searches", "rejected", "missing query"), 1),
            (("searches", "rejected", "not an object"), 1),
            (("examples", "train"), 6),
            (("examples", "validation"), 1),
            (("examples", "eval"), 3),
        ]
        assert_that(counts, equal_to(told), label="counts")


def test_without_a_catalogue_items_are_known_by_id_alone() -> None:
    with pipeline() as root:
        parts = made(root, {name: ALL[name] for name in ("searches", "actions")})
        assert_that(parts.catalog | beam.Keys(), equal_to(["i0", "i1"]), label="catalog")
        assert_that(parts.eval | "Eval" >> beam.Keys(), equal_to(["u\nr7", "u\nr8", "u\nr9"]), label="eval")


def test_records_of_items_hold_as_much_of_a_description_as_the_config_says() -> None:
    told = [{**ITEMS[0], "description": "Solid oak, for four."}, *ITEMS[1:]]
    config = PreprocessingConfig(input=InputConfig(description_words=3))

    def description(record: tuple[str, bytes]) -> tuple[str, bytes]:
        features = tf.train.Example.FromString(record[1]).features.feature
        return record[0], features["description"].bytes_list.value[0]

    with pipeline() as root:
        parts = made(root, {**ALL, "catalog": told}, config)
        expected = [("i0", b"Solid oak, for"), ("i1", b""), ("i2", b"")]
        assert_that(parts.catalog | beam.Map(description), equal_to(expected))


_SEEN: list[tuple[str, str]] = []  # the runner is this process


def _keep(made: Any, name: str) -> None:
    _SEEN.append((name, repr(made)))


def of_user(user: str, record: dict[str, Any], **changed: Any) -> dict[str, Any]:
    return {**record, "user_id": user, "request_id": f"{user} {record['request_id']}", **changed}


def test_partitions_that_share_keys_make_the_same_examples() -> None:
    users = {f"u{number}": number % 2 for number in range(12)}
    days = range(len(SEARCHES))
    streams: Streams = {
        "catalog": [{**ITEMS[0], "item_id": f"i{number}"} for number in range(20)],
        "searches": [
            of_user(user, SEARCHES[day], results=[f"i{day}", f"i{day + 7}"]) for user in users for day in days
        ],
        "actions": [
            of_user(user, ACTIONS[day], item_id=f"i{day + odd * 7}") for user, odd in users.items() for day in days
        ],
    }
    found = []
    for partitions in (Partitions(users=1, items=1), Partitions(users=50, items=9, keys=2)):
        _SEEN.clear()
        with pipeline() as root:
            parts = made(root, streams, partitions=partitions)
            for name in ("train", "validation", "eval", "catalog", "vocabularies", "counts"):
                getattr(parts, name) | f"Keep {name}" >> beam.Map(_keep, name)
        found.append(sorted(_SEEN))
    assert sum(name in ("train", "validation", "eval") for name, _ in found[0]) == 120
    assert found[0] == found[1]


def test_a_bot_leaves_its_oldest_events_out_and_every_other_user_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heavy_users, "_COUNTED", 40)
    config = PreprocessingConfig(join=JoinConfig(max_user_events=30))
    clicks = [of_user("bot", ACTIONS[number % 10], ts=START + number * 1_000_000) for number in range(700)]
    found = []
    for bot in ([], clicks):
        _SEEN.clear()
        with pipeline() as root:
            parts = made(root, {**ALL, "actions": [*ACTIONS[:5], *bot, *ACTIONS[5:]]}, config)
            for name in ("train", "validation", "eval"):
                getattr(parts, name) | f"Split {name}" >> beam.Map(_features, name)
            parts.counts | "All counts" >> beam.Map(_keep, "counts")
        found.append([one for one in sorted(_SEEN) if one[0] != "counts"])
    assert [one[1] for one in found[1]] == [one[1] for one in found[0]] and len(found[0]) == 10
    counted = {eval(made) for name, made in _SEEN if name == "counts"}
    assert (("actions", "excluded", "over user cap"), 670) in counted
    assert (("actions", "in"), 710) in counted and (("actions", "used"), 40) in counted


def _features(made: tuple[str, bytes], name: str) -> None:
    """Without what depends on how often items were chosen by others."""
    kept = {feature: value for feature, value in features(made[1]).items() if not feature.endswith("log_prob")}
    _SEEN.append((name, repr((made[0], kept))))


def test_windows_of_the_callers_do_not_divide_the_log() -> None:
    with pipeline() as root:
        windowed = {
            name: root
            | name >> beam.Create(records)
            | f"Times of {name}" >> beam.Map(lambda one: TimestampedValue(one, one.get("ts", 0) / 1000))
            | f"Days of {name}" >> beam.WindowInto(FixedWindows(86_400))
            for name, records in ALL.items()
        }
        parts = windowed | MakeExamples(PreprocessingConfig())
        assert_that(parts.eval | "Eval" >> beam.Keys(), equal_to(["u\nr7", "u\nr8", "u\nr9"]), label="eval")
        assert_that(parts.split | beam.Map(len), equal_to([4]), label="split")


def test_columns_by_other_names_and_one_stream_that_holds_both() -> None:
    theirs = [{"sku" if name == "item_id" else name: value for name, value in item.items()} for item in ITEMS]
    config = PreprocessingConfig(input=InputConfig(catalog=CatalogConfig(pattern="", columns={"item_id": "sku"})))
    queries = [
        {"query_id": one["request_id"], "timestamp": one["ts"], "client_id": "u", "user_query": one["query"]}
        for one in SEARCHES
    ]
    events = [
        {
            "action_name": "click",
            "query_id": one["request_id"],
            "timestamp": one["ts"],
            "client_id": "u",
            "event_attributes": {"object": {"object_id": one["item_id"]}},
        }
        for one in ACTIONS
    ]
    with pipeline() as root:
        parts = made(root, {"catalog": theirs, "ubi": queries + events}, config)
        assert_that(parts.eval | beam.Keys(), equal_to(["u\nr7", "u\nr8", "u\nr9"]), label="eval")
        assert_that(parts.catalog | "Items" >> beam.Keys(), equal_to(["i0", "i1", "i2"]), label="catalog")


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("searches", "action"), "unknown stream 'action'; did you mean 'actions'"),
        (("catalog", "searches"), 'give it "searches" and "actions"'),
    ],
)
def test_streams_that_lack_are_told_when_the_pipeline_is_built(names: tuple[str, ...], message: str) -> None:
    root = pipeline()
    streams: dict[str, beam.PCollection] = {name: root | name >> beam.Create([]) for name in names}
    with pytest.raises(ValueError, match=message):
        streams | MakeExamples(PreprocessingConfig())


def test_the_counts_are_shown_by_the_runner_too() -> None:
    root = pipeline()
    made(root, {**ALL, "searches": [*SEARCHES, {"ts": START}, SEARCHES[0]]})
    result = root.run()
    found = {
        one.key.metric.name: one.committed
        for one in result.metrics().query()["counters"]
        if one.key.metric.namespace == METRICS
    }
    told = {
        "searches/in": 12,
        "searches/used": 10,
        "searches/rejected/missing query": 1,
        "searches/excluded/duplicate": 1,
        "actions/used": 10,
        "catalog/in": 4,
        "catalog/excluded/out of stock": 1,
        "examples/train": 6,
        "examples/validation": 1,
        "items": 3,
    }
    assert {name: found.get(name) for name in told} == told
    assert not any(name.startswith(("length", "frequency")) for name in found)


def test_partitions_grow_with_the_log_and_keys_up_to_a_point() -> None:
    sources = [Source("catalog", ("c",), 1), Source("searches", ("s",), 900 << 20), Source("actions", ("a",), 60 << 20)]
    assert Partitions.of(sources, partition_mb=32) == (30, 4, 30)
    assert Partitions.of(sources[1:], partition_mb=8) == (120, 15, 30)
    assert Partitions.of([Source("ubi", ("u",), 1 << 40)], partition_mb=32) == (32_768, 4_096, 512)
