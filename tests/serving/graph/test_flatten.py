"""A flat graph answers as the one it was made from, with fewer nodes and nothing left to inline."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from serving.graph.flatten import flatten
from serving.graph.saved_model import ServedModel
from serving.release.variable_files import read_variables, write_variables

WORDS = ("red", "shoes", "bag", "鞋")


def table(path: Path) -> tf.lookup.StaticHashTable:
    """Words to the numbers of their lines, -1 for others."""
    whole, number = tf.lookup.TextFileIndex.WHOLE_LINE, tf.lookup.TextFileIndex.LINE_NUMBER
    lines = tf.lookup.TextFileInitializer(str(path), tf.string, whole, tf.int64, number)
    return tf.lookup.StaticHashTable(lines, -1)


class Small(tf.Module):
    """Two signatures with all that a served graph has: tables, variables, calls, a condition, a loop, constants."""

    def __init__(self, folder: Path, words: tuple[str, ...]) -> None:
        super().__init__()
        for name in ("one", "two"):
            (folder / name).mkdir(parents=True)
            (folder / name / "words.txt").write_text("".join(f"{word}\n" for word in words))
        self.tables = [table(folder / name / "words.txt") for name in ("one", "two")]  # two files of the same lines
        self.weights = tf.Variable(np.arange(8, dtype=np.float32).reshape(4, 2) + 1)
        self.more = tf.Variable([0.5], shape=[None])
        self.large = np.arange(2_000, dtype=np.int32)

    @tf.function
    def numbers(self, words: tf.Tensor, which: int) -> tf.Tensor:
        """The words' numbers, by one of the tables."""
        return self.tables[which].lookup(words)

    @tf.function
    def looped(self, vectors: tf.Tensor) -> tf.Tensor:
        """Halved until they are short."""
        return tf.while_loop(lambda one: tf.reduce_max(tf.abs(one)) > 1.0, lambda one: (one / 2,), (vectors,))[0]

    def embed(self, words: tf.Tensor, which: int) -> tf.Tensor:
        """Words `[B]` -> `[B, 2]`."""
        numbers = self.numbers(words, which)
        known = tf.gather(self.weights, tf.maximum(numbers, 0)) + tf.reduce_sum(self.more)
        vectors = tf.where((numbers >= 0)[:, None], known, 0.0)
        return self.looped(vectors) + tf.cast(tf.gather(self.large, tf.strings.length(words))[:, None], tf.float32)

    def failing(self, vectors: tf.Tensor) -> tf.Tensor:
        """A side that must not be taken where nobody asks for it."""
        with tf.control_dependencies([tf.debugging.Assert(False, ["taken"])]):
            return tf.identity(vectors)

    def signatures(self) -> dict[str, Any]:
        """Traced."""
        words, fail = tf.TensorSpec([None], tf.string, "words"), tf.TensorSpec([], tf.bool, "fail")

        @tf.function
        def embed(words: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"embedding": self.embed(words, 0)}

        @tf.function
        def answer(words: tf.Tensor, fail: tf.Tensor) -> dict[str, tf.Tensor]:
            vectors = self.embed(words, 1)
            vectors = tf.cond(fail, lambda: self.failing(vectors), lambda: vectors)
            return {"scores": tf.ensure_shape(vectors @ tf.transpose(self.weights), [None, 4]), "words": words}

        @tf.function
        def count(turns: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"turns": tf.while_loop(lambda turn: turn < turns[0], lambda turn: (turn + 1,), (0,))[0]}

        return {
            "embed": embed.get_concrete_function(words),
            "answer": answer.get_concrete_function(words, fail),
            "count": count.get_concrete_function(tf.TensorSpec([1], tf.int32, "turns")),
        }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`before`, as TensorFlow writes it, and `after`, flat."""
    place = tmp_path_factory.mktemp("small")
    save(place, WORDS)
    return place


def save(place: Path, words: tuple[str, ...]) -> None:
    module = Small(place / "files", words)
    tf.saved_model.save(module, str(place / "before"), module.signatures())
    shutil.rmtree(place / "files")  # nothing may be read from where it once lay
    shutil.copytree(place / "before", place / "after")
    flatten(place / "after")


@pytest.fixture(scope="module")
def models(folder: Path) -> tuple[ServedModel, ServedModel]:
    return ServedModel(str(folder / "before"), False), ServedModel(str(folder / "after"), False)


def saved(model: Path) -> Any:
    """The graph with all that is said about it."""
    return SavedModel.FromString((model / "saved_model.pb").read_bytes()).meta_graphs[0]


def nodes_of(graph: Any) -> list[Any]:
    return [*graph.node, *(node for function in graph.library.function for node in function.node_def)]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(words=st.lists(st.sampled_from((*WORDS, "", "unknown")), max_size=5))
def test_the_same_answers(models: tuple[ServedModel, ServedModel], words: list[str]) -> None:
    inputs = {"words": np.array([one.encode() for one in words], object)}
    for signature, fed in (("embed", inputs), ("answer", inputs | {"fail": np.array(False)})):
        before, after = (model.call(signature, fed) for model in models)
        assert before.keys() == after.keys()
        for name in before:
            assert before[name].tolist() == after[name].tolist()


def test_a_long_loop(models: tuple[ServedModel, ServedModel]) -> None:
    """Its turns are not calls within calls: some thousand of those would be past the stack's end."""
    for model in models:
        assert model.call("count", {"turns": np.array([50_000], np.int32)})["turns"] == 50_000


def test_only_the_side_taken_runs(models: tuple[ServedModel, ServedModel]) -> None:
    inputs = {"words": np.array([b"red"], object), "fail": np.array(True)}
    for model in models:
        with pytest.raises(tf.errors.InvalidArgumentError, match="taken"):
            model.call("answer", inputs)


def test_nothing_is_left_to_inline(folder: Path) -> None:
    graph = saved(folder / "after").graph_def
    ops = Counter(node.op for node in nodes_of(graph))
    assert not ops.keys() & {"PartitionedCall", "StatefulPartitionedCall", "Switch", "Merge", "Enter", "SaveV2"}
    assert {"StatelessIf", "If"} & ops.keys() and {"StatelessWhile", "While"} & ops.keys()
    called = [value.func.name for node in nodes_of(graph) for value in node.attr.values() if value.func.name]
    assert set(called) == {function.signature.name for function in graph.library.function}
    assert len(nodes_of(graph)) < len(nodes_of(saved(folder / "before").graph_def)) / 2


def test_what_is_equal_is_there_once(folder: Path) -> None:
    meta = saved(folder / "after")
    ops = Counter(node.op for node in meta.graph_def.node)
    assert ops["HashTableV2"] == ops["InitializeTableFromTextFileV2"] == 1
    assert [one.filename for one in meta.asset_file_def] == ["words.txt"]
    assert sum(node.ByteSize() > 4_000 for node in nodes_of(meta.graph_def)) == 1  # the large constant
    inputs = {
        signature.inputs["words"].name for signature in meta.signature_def.values() if "words" in signature.inputs
    }
    assert len(inputs) == 1
    assert ops["VarHandleOp"] == ops["ReadVariableOp"] == 2


def test_signatures_stay(folder: Path) -> None:
    before, after = (saved(folder / name).signature_def for name in ("before", "after"))
    assert before.keys() == after.keys()
    for name in before:
        assert before[name].method_name == after[name].method_name
        for side in ("inputs", "outputs"):
            ones, others = getattr(before[name], side), getattr(after[name], side)
            assert ones.keys() == others.keys()
            for key in ones:
                assert (ones[key].dtype, ones[key].tensor_shape) == (others[key].dtype, others[key].tensor_shape)


def test_no_more_than_serving_needs(folder: Path) -> None:
    meta = saved(folder / "after")
    assert not meta.HasField("object_graph_def") and not meta.graph_def.library.gradient
    assert not any(node.device or "_class" in node.attr for node in nodes_of(meta.graph_def))
    assert not any(node.HasField("experimental_debug_info") for node in nodes_of(meta.graph_def))
    assert "/files/" not in str(meta)  # where files once lay


def test_one_graph_gives_one_file(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "before", tmp_path / "again")
    flatten(tmp_path / "again")
    assert (tmp_path / "again/saved_model.pb").read_bytes() == (folder / "after/saved_model.pb").read_bytes()


def test_tensorflow_itself_loads_it(folder: Path) -> None:
    loaded = tf.saved_model.load(str(folder / "after"))
    found = loaded.signatures["embed"](words=tf.constant(["red", ""]))["embedding"]
    assert found.numpy().tolist() == [[3.375, 3.625], [0.0, 0.0]]


def test_variables_stay_in_their_file(folder: Path, tmp_path: Path) -> None:
    """Other values, and another length where that is open, are what the graph answers by."""
    shutil.copytree(folder / "after", tmp_path / "changed")
    variables = read_variables(tmp_path / "changed")
    write_variables(tmp_path / "changed", variables | {"weights": np.zeros((4, 2), np.float32), "more": [0.25, 0.5]})
    with ServedModel(str(tmp_path / "changed"), False) as model:
        found = model.call("embed", {"words": np.array([b"red", b""], object)})["embedding"]
    assert found.tolist() == [[3.75, 3.75], [0.0, 0.0]]


def test_two_versions_in_one_process(folder: Path, models: tuple[ServedModel, ServedModel], tmp_path: Path) -> None:
    """Tables have the same names in both; each answers by its own file."""
    save(tmp_path, tuple(reversed(WORDS)))
    inputs = {"words": np.array([one.encode() for one in WORDS], object)}
    with ServedModel(str(tmp_path / "after"), False) as other:
        found, reverse = (model.call("embed", inputs)["embedding"] for model in (models[1], other))
        assert found.tolist() != reverse.tolist()
        with ServedModel(str(tmp_path / "before"), False) as straight:
            assert reverse.tolist() == straight.call("embed", inputs)["embedding"].tolist()


def test_exports_are_flat(exported: Callable[[str], Path], kind: str) -> None:
    """A branch may share a function with another, which is then called."""
    graph = saved(exported(kind) / "1").graph_def
    assert not {node.op for node in nodes_of(graph)} & {"Switch", "Merge", "Enter"}
    assert not {node.op for node in graph.node} & {"PartitionedCall", "StatefulPartitionedCall"}
    assert len(nodes_of(graph)) < 4_000
