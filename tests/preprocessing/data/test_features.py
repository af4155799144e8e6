"""Examples on the wire, and read back by the spec."""

from __future__ import annotations

import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.data import example_proto
from preprocessing.data.features import Feature, catalog_features, parsing_spec, request_features

CONTENT = {"int64": example_proto.ints, "float32": example_proto.floats, "string": example_proto.strings}
lists = st.one_of(
    st.tuples(st.just("int64"), st.lists(st.integers(0, 2**62), max_size=40)),
    st.tuples(st.just("int64"), st.lists(st.integers(0, 300), min_size=100, max_size=300)),
    st.tuples(st.just("float32"), st.lists(st.floats(width=32, allow_nan=False), max_size=40)),
    st.tuples(st.just("string"), st.lists(st.binary(max_size=200), max_size=10)),
)


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(min_size=1, max_size=20), lists, max_size=6))
def test_what_is_written_is_an_example(features: dict[str, tuple[str, list]]) -> None:
    entries = [
        example_proto.FeatureWriter(name, kind)(CONTENT[kind](values)) for name, (kind, values) in features.items()
    ]
    read = tf.train.Example.FromString(example_proto.example(entries)).features.feature
    assert set(read) == {name for name, (_, values) in features.items() if values}
    for name, (kind, values) in features.items():
        if values:
            held = {"int64": read[name].int64_list, "float32": read[name].float_list, "string": read[name].bytes_list}
            assert list(held[kind].value) == values


def test_the_spec_reads_scalars_lists_and_lists_of_lists() -> None:
    features = [Feature("name", "string", 0), Feature("ids", "int64"), Feature("titles", "int64", 2)]
    write = {feature.name: example_proto.FeatureWriter(feature.name, feature.dtype) for feature in features}
    lengths = example_proto.FeatureWriter("titles_length", "int64")
    full = [
        write["name"](example_proto.strings([b"a"])),
        write["ids"](example_proto.ints([3, 4])),
        write["titles"](example_proto.ints([1, 2, 3])),
        lengths(example_proto.ints([2, 0, 1])),
    ]
    bare = [write["name"](example_proto.strings([b""]))]
    parsed = tf.io.parse_example([example_proto.example(full), example_proto.example(bare)], parsing_spec(features))
    assert parsed["name"].numpy().tolist() == [b"a", b""]
    assert parsed["ids"].to_list() == [[3, 4], []]
    assert parsed["titles"].to_list() == [[[1, 2], [], [3]], []]


def test_vectors_are_dense_by_item_and_ragged_by_request() -> None:
    features = {one.name: one for one in (*request_features([], [], 2), *catalog_features([], 2))}
    wanted = [features["clicked_vector"], features["vector"]]
    write = {one.name: example_proto.FeatureWriter(one.name, one.dtype) for one in wanted}
    numbers = [1.5, -2.0, 0.25, 4.0]
    both = [write["clicked_vector"](example_proto.floats(numbers)), write["vector"](example_proto.floats([3.0, 4.0]))]
    nobody = [write["vector"](example_proto.floats([0.0, 0.0]))]
    parsed = tf.io.parse_example([example_proto.example(both), example_proto.example(nobody)], parsing_spec(wanted))
    assert parsed["clicked_vector"].values.numpy().tolist() == [[1.5, -2.0], [0.25, 4.0]]
    assert parsed["clicked_vector"].row_lengths().numpy().tolist() == [2, 0]
    assert parsed["vector"].numpy().tolist() == [[3.0, 4.0], [0.0, 0.0]]
    assert not [one for one in (*request_features([], []), *catalog_features([])) if "vector" in one.name]


def test_names_are_unique_and_typed() -> None:
    for features in (request_features(("char", "word"), ("word",)), catalog_features(("word", "bigram"))):
        names = [feature.name for feature in features]
        assert len(set(names)) == len(names)
        assert {feature.dtype for feature in features} == {"int64", "float32", "string"}
