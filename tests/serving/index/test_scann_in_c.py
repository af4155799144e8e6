"""A ScaNN export in a program that is no Python's: ScaNN's library is preloaded, as scann.Dockerfile does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.serving.conftest import Client

PROGRAM = Path(__file__).with_name("c_program.py")
SCANN_OPS = str(distribution("scann").locate_file("scann/scann_ops/cc/_scann_ops.so"))


def answer(client: Client, preload: str) -> subprocess.CompletedProcess[str]:
    """What the program prints for one query."""
    definition = client.model.signatures["serving_default"]
    names = [definition.outputs[name].name for name in ("item_ids", "scores")]
    command = [
        sys.executable,
        "-S",
        str(PROGRAM),
        str(client.path),
        definition.inputs["query"].name,
        "red sofa",
        *names,
    ]
    environment = os.environ | {
        "LD_LIBRARY_PATH": tf.sysconfig.get_lib(),
        "LD_PRELOAD": preload,
        "TF_ENABLE_ONEDNN_OPTS": "0",
    }
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)


def test_a_c_program_with_scanns_library_answers_alike(opened: Callable[[str], Client]) -> None:
    ours = opened("scann")
    found = answer(ours, SCANN_OPS)
    assert found.returncode == 0, found.stderr[-2_000:]
    expected = ours.model.call("serving_default", {"query": np.array([b"red sofa"], object)})
    ids, scores = json.loads(found.stdout)
    assert len(ids) > 0
    assert ids == [one.decode() for one in expected["item_ids"][0]]
    assert scores == pytest.approx(expected["scores"][0].tolist(), abs=1e-5)


def test_a_c_program_without_it_says_which_ops_it_lacks(opened: Callable[[str], Client]) -> None:
    found = answer(opened("scann"), "")
    assert found.returncode == 1
    assert "Op type not registered 'Scann>" in found.stderr
