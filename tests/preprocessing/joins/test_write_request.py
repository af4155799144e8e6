"""Requests as examples: each list of a request is read back as it was."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.config import TextConfig
from preprocessing.data import example_proto
from preprocessing.data.example_columns import contents_of, varints
from preprocessing.data.features import HORIZONS, EncodedItem
from preprocessing.joins.attribution import NO_REQUEST, AttributedAction, Request
from preprocessing.joins.history import Past
from preprocessing.joins.write_request import RequestFeatures, RequestWriter, Table

TEXT = TextConfig(query_grains=("word",), title_grains=("word",))
TS = 1_700_000_000_000


def item(number: int) -> EncodedItem:
    return EncodedItem(
        item_id=example_proto.strings([f"item {number}".encode()]),
        attributes=tuple(example_proto.varint(number * 10 + place) for place in range(6)),
        log_prob=example_proto.floats([-1.5]),
        title=(example_proto.ints([7] * number), example_proto.varint(number)),
    )


def writer() -> RequestWriter:
    features = RequestFeatures(TEXT)
    word = example_proto.FeatureWriter("query_word", "int64")
    queries = {
        "asked": contents_of([word(example_proto.ints([5, 6])), word(example_proto.ints([8]))]),
        "word": contents_of([example_proto.ints([5, 6]), example_proto.ints([8])]),
        "word_length": varints([2, 1]),
    }
    items = {f"item {number}": item(number) for number in (1, 2, 3)}
    return RequestWriter(features, Table.of_items(items, features), Table({"red shoes": 0, "lamp": 1}, queries))


def act(item_id: str, action: str, seconds_before: int) -> AttributedAction:
    ts = TS - 1000 * seconds_before
    return AttributedAction(ts, item_id, action, ts, NO_REQUEST, False, "")


def test_each_request_has_its_own_lists() -> None:
    write = writer()
    nothing: dict[str, list[AttributedAction]] = {name: [] for name in HORIZONS}
    acted = {**nothing, "realtime": [act("item 2", "order", 40), act("item 1", "click", 300)]}
    asked = Request(TS, "q2", "lamp", ("item 1", "item 3", "item 2"))
    stages = {"ordered": ["item 2"], "clicked": ["item 1"], "shown": ["item 1", "item 3"]}
    write.add(
        "ann",
        Request(TS, "q1", "red shoes", ()),
        Past(0, nothing, []),
        {"ordered": [], "clicked": ["item 3"], "shown": []},
    )
    write.add("bob", asked, Past(0, acted, ["lamp", "red shoes"]), stages)
    first, second = (tf.train.Example.FromString(one).features.feature for one in write.drain())
    assert write.drain() == []
    assert first["user_id"].bytes_list.value == [b"ann"] and first["ts"].int64_list.value == [TS]
    assert first["query_word"].int64_list.value == [5, 6]
    assert first["clicked_item_id"].bytes_list.value == [b"item 3"] and first["clicked_position"].int64_list.value == [
        0
    ]
    assert not [name for name in first if name.startswith(("realtime", "history", "shown", "ordered"))]
    assert second["request_id"].bytes_list.value == [b"q2"] and second["query"].bytes_list.value == [b"lamp"]
    assert second["history_word"].int64_list.value == [8, 5, 6]
    assert second["history_word_length"].int64_list.value == [1, 2]
    assert second["realtime_brand"].int64_list.value == [21, 11]
    assert second["realtime_action"].int64_list.value == [4, 1] and second["realtime_age"].int64_list.value == [40, 300]
    assert second["shown_item_id"].bytes_list.value == [b"item 1", b"item 3"]
    assert second["shown_position"].int64_list.value == [1, 2] and second["ordered_position"].int64_list.value == [3]
    assert second["shown_title_word_length"].int64_list.value == [1, 3]
    assert second["shown_title_word"].int64_list.value == [7] * 4
    assert second["shown_log_prob"].float_list.value == [-1.5, -1.5]
