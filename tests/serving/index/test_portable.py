"""The portable and the exact index need nothing but TensorFlow's core ops."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from serving.config import ServingConfig
from serving.export import export
from serving.graph.saved_model import ServedModel

_WITHOUT_SCANN = """
import sys
for name in ("scann", "serving", "preprocessing", "trainer"):
    sys.modules[name] = None  # importing it is an error
import numpy as np, tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
for name, signature in sorted((one for one in loaded.signatures.items() if one[0] != "__saved_model_init_op")):
    inputs = {}
    for key, spec in signature.structured_input_signature[1].items():
        shape = [2 if length is None else length for length in spec.shape]
        inputs[key] = tf.fill(shape, "" if spec.dtype == tf.string else tf.cast(3, spec.dtype))
    found = signature(**inputs)
    print(name, *sorted((key, tuple(value.shape)) for key, value in found.items()))
"""


def ops(model: Path) -> set[str]:
    """Every op of a saved model's graph and functions."""
    saved = SavedModel.FromString((model / "saved_model.pb").read_bytes())
    found: set[str] = set()
    for meta in saved.meta_graphs:
        found |= {node.op for node in meta.graph_def.node}
        found |= {node.op for function in meta.graph_def.library.function for node in function.node_def}
    return found


def core_ops() -> set[str]:
    """Those of TensorFlow in a process where nothing else was loaded."""
    script = "from tensorflow.python.framework import op_def_registry, ops; import tensorflow as tf\n"
    script += "from tensorflow.python.client import pywrap_tf_session as c\n"
    script += "from tensorflow.core.framework import op_def_pb2\n"
    script += "buffer = c.TF_GetAllOpList(); ops = op_def_pb2.OpList.FromString(c.TF_GetBuffer(buffer))\n"
    script += "print(*(one.name for one in ops.op))"
    return set(
        subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout.split()
    )


def test_core_ops_alone(exported: Callable[[str], Path]) -> None:
    core = core_ops()
    for kind in ("portable", "brute_force"):
        assert ops(exported(kind) / "1") <= core
    assert {one for one in ops(exported("scann") / "1") if one not in core} == {
        "Scann>TensorsToScann",
        "Scann>ScannSearchBatched",
    }


@pytest.mark.parametrize("kind", ["portable"])
def test_loads_where_scann_cannot_be_imported(exported: Callable[[str], Path], kind: str) -> None:
    command = [sys.executable, "-c", _WITHOUT_SCANN, str(exported(kind) / "1")]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    answers = "('item_ids', (2, {k})) ('scores', (2, {k}))"
    channels = "('channels', (2, {k})) "
    assert done.stdout.splitlines() == [
        "embed_item ('embedding', (2, 16))",
        "embed_query ('embedding', (2, 16))",
        f"retrieve {(channels + answers).format(k=3)}",
        f"search {answers.format(k=3)}",
        f"serving_default {(channels + answers).format(k=10)}",
        "similar ('embedding', (2, 16)) ('item_ids', (2, 3)) ('known', (2,)) ('scores', (2, 3))",
    ]


def test_int8_is_held_against_float32(
    data: str, job: str, config: Callable[..., ServingConfig], tmp_path: Path
) -> None:
    assert export(config("index=portable", "portable.int8=true"), job, data, str(tmp_path)) == 0
    compared = json.loads((tmp_path / "manifest-1.json").read_text())["int8_compared"]
    assert compared["int8"]["bytes"] < compared["float32"]["bytes"] / 2
    assert all(0 < one["recall"] <= 1 for one in compared.values())
    with ServedModel(str(tmp_path / "1"), with_scann=False) as model:
        found = model.call("serving_default", {"query": np.array([b"shoes"], object)})
    assert all(found["item_ids"][0])
