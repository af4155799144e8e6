"""Towers of both systems through export, load and call; and what TensorFlow's own tool says of a version."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section
from serving.config import ServingConfig
from serving.export import export
from serving.graph.towers import load_towers
from serving.release.acceptance import SIGNATURES
from tests.serving.conftest import Client
from tests.serving.experiment import untrained_job, write_experiment
from tests.serving.market import shelf

SYSTEMS = {
    "mgdspr": {"dim": 16, "grains": {"sequence_hidden": 16}},
    "mmse": {"dim": 8, "grains": {"mix": False, "sequence_hidden": 16}},
}


@pytest.mark.parametrize(("system", "kind"), [("mgdspr", "portable"), ("mmse", "scann")])
def test_the_towers_of_both_systems_are_served(system: str, kind: str, data: str, tmp_path: Path) -> None:
    experiment = write_experiment(tmp_path, model=system, **{system: SYSTEMS[system]})
    job = untrained_job(experiment, data, tmp_path / "job")
    config = load_section(experiment, "serving", ServingConfig, [f"serving.index={kind}"])
    assert export(config, job, data, str(tmp_path / "models")) == 0
    client, items = Client(tmp_path / "models", 1), shelf(data)
    asked = client.model.signatures["embed_item"].inputs
    vectors = client.model.call("embed_item", {name: items.inputs[name] for name in asked})["embedding"]
    k = len(items.ids)
    requests = [{"query": "shoes", "k": k}, {"query": "red bag", "k": k, "long_click_items": items.ids[:3]}]
    queries, found = client.embed(*requests), client.retrieve(*requests)
    assert queries.shape == (2, vectors.shape[1]) and np.abs(queries[0] - queries[1]).max() > 1e-6
    for query, ids, scores in zip(queries, found["item_ids"].tolist(), found["scores"], strict=True):
        assert sorted(ids) == sorted(items.ids)
        assert scores == pytest.approx(vectors[[items.ids.index(one) for one in ids]] @ query, abs=1e-4)
    default = client.model.call("serving_default", {"query": np.array([b"shoes"], object)})
    rows = [items.ids.index(one) for one in default["item_ids"][0].tolist()]
    assert len(set(rows)) == 10 and default["scores"][0] == pytest.approx(vectors[rows] @ queries[0], abs=1e-4)


def test_of_a_folder_of_seeds_one_is_wanted(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no towers/query in it; train it with"):
        load_towers(str(tmp_path))
    for seed in (18, 17):
        (tmp_path / f"seed-{seed}/towers").mkdir(parents=True)
    with pytest.raises(UserError, match=r"no towers/query in it; it holds a job a seed: name one, such as .*/seed-17$"):
        load_towers(str(tmp_path))


def test_saved_model_cli_lists_the_signatures(exported: Callable[[str], Path]) -> None:
    tool = [sys.executable, "-m", "tensorflow.python.tools.saved_model_cli", "show", "--all"]
    done = subprocess.run([*tool, "--dir", str(exported("portable") / "1")], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    for signature in SIGNATURES:
        assert f"signature_def['{signature}']" in done.stdout
    for name in ("history_queries", "required_terms", "allowed_leaves", "k", "item_ids", "scores", "embedding"):
        assert f"['{name}'] tensor_info" in done.stdout
