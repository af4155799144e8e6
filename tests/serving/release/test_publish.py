"""A version from end to end: what lies in its folder, changes without a build, a kill at any moment."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from serving.inputs import ITEM_LISTS
from serving.release.acceptance import SIGNATURES
from serving.release.versions import ModelFolder
from tests.serving.conftest import Client, command
from tests.serving.experiment import query_vector
from tests.serving.market import shelf
from tests.serving.release.conftest import tree


def test_the_folder(client: Client) -> None:
    folder, manifest = client.path.parent, client.manifest
    assert sorted(set(os.listdir(folder)) - {".lock"})[:2] == ["1", "manifest-1.json"]
    assert not list(folder.glob(".staging-*"))
    assert manifest["version"] == 1 and manifest["reasons"] == []
    measured = manifest["measured"]
    assert measured["index_recall"] >= measured["index_recall_lower"] >= manifest["target_recall"]
    assert measured["index_recall_p10"] >= measured["index_recall_worst"]
    assert 0 <= manifest["tuning"]["unseen"]["worst"] <= manifest["tuning"]["unseen"]["mean"] <= 1
    assert manifest["bytes"]["variables"] > manifest["items"] * manifest["dim"] * 4
    assert (client.path / "assets.extra" / "tuning.svg").read_text().count('id="setting-') == len(
        manifest["tuning"]["curve"]
    )
    chosen, curve = manifest["tuning"]["chosen"], manifest["tuning"]["curve"]
    assert chosen in curve and chosen["recall_lower"] >= manifest["target_recall"]


def test_warmup_requests_are_answered(client: Client) -> None:
    path = client.path / "assets.extra" / "tf_serving_warmup_requests"
    called = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        signature = request.model_spec.signature_name
        client.model.call(signature, {name: tf.make_ndarray(value) for name, value in request.inputs.items()})
        called.append(signature)
    assert set(called) == {*SIGNATURES, "similar"} and len(called) == client.manifest["warmup_requests"]


def test_changes_without_a_build(changed: Path, opened: Callable[[str], Client], data: str, job: str) -> None:
    before, after, items = opened("scann"), Client(changed, 2), shelf(data)
    assert after.manifest["side_index"] == {
        "fresh": 1,
        "tombstones": 1,
        "fresh_in_index_already": 1,
        "tombstones_unknown": 1,
    }
    every = {"query": "shoes", "k": 1000}
    found = [set(client.retrieve(every)["item_ids"][0].tolist()) - {b""} for client in (before, after)]
    assert found[1] - found[0] == {b"NEW"} and found[0] - found[1] == {items.ids[3]}
    alone = ({"required_terms": ["Unicorn", "zzb"]}, {"allowed_leaves": ["zzleaf"]}, {"allowed_brands": ["Zzb"]})
    for condition in (*alone, {"price_range": (999_999, np.nan)}):
        answer = after.retrieve({"query": "shoes", "k": 2} | condition)
        assert answer["item_ids"].tolist() == [[b"NEW", b""]]
    for condition in (
        {"excluded_items": ["NEW"]},
        {"price_range": (np.nan, 999_999)},
        {"required_terms": ["unicorns"]},
    ):
        assert b"NEW" not in after.retrieve({"query": "unicorn", "k": 1000} | condition)["item_ids"]
    past = [{"query": "shoes", "realtime_items": [one]} for one in ("NEW", "NOT THERE", " ")]
    assert np.abs(after.embed(past[0]) - before.embed(past[0])).max() > 1e-6  # its leaf and brand are known now
    assert after.embed(past[2]) == pytest.approx(before.embed(past[2]), abs=1e-5)
    query = after.embed({"query": "unicorn"})
    texts = {"item_id": b"NEW", "title": b"zzq unicorn", "brand": b"Zzb", "shop": b"", "category_leaf": b"zzleaf"}
    texts["category_top"] = b"t"
    new = texts | {"price": np.float32(1e6)}
    everywhere = {"query": "shoes", "history_queries": ["red"], **{key: ["NEW"] for key in ITEM_LISTS}}
    assert after.embed(everywhere) == pytest.approx(query_vector(job, "shoes", "red", new), abs=1e-5)
    columns = {name: np.array([one], object) for name, one in texts.items()} | {"price": np.float32([1e6])}
    vector = after.model.call("embed_item", columns)["embedding"]
    score = dict(zip(*(after.search(query, 1000)[n][0].tolist() for n in ("item_ids", "scores")), strict=True))
    assert score[b"NEW"] == pytest.approx(float(vector[0] @ query[0]), abs=1e-4)


def test_killed_at_any_moment(
    exported: Callable[[str], Path], job: str, data: str, config_file: str, tmp_path: Path
) -> None:
    folder = tmp_path / "retrieval"
    shutil.copytree(exported("portable"), folder)
    before = tree(folder)
    flags = ("--config", config_file, "--job-dir", job, "--data", data, "--output", str(folder), "--index", "portable")
    for stage in ("vectors", "model/saved_model.pb"):
        process = command(*flags)
        deadline = time.monotonic() + 600
        while not list(folder.glob(f".staging-*/{stage}")) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert {name: one for name, one in tree(folder).items() if not name.startswith(".staging-")} == before
        assert ModelFolder(str(folder)).versions() == [1]
    with ModelFolder(str(folder)).staging():
        assert len(list(folder.glob(".staging-*"))) == 1  # what the killed left is gone
    assert tree(folder) == before
