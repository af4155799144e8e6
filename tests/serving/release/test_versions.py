"""Versions: whole or not at all, judged, pruned; warm-up requests; changes without a build."""

from __future__ import annotations

import json
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

from preprocessing.command.console import UserError
from serving.catalogue.data_records import eval_requests
from serving.config import ServingConfig
from serving.export import export, main
from serving.release.acceptance import SIGNATURES, ExactAnswers, Judge
from serving.release.versions import ModelFolder
from tests.serving.conftest import Client, command
from tests.serving.market import shelf
from trainer.data.dataset import requests

Config = Callable[..., ServingConfig]
_CALL = {"DT_STRING": object, "DT_INT32": np.int32, "DT_FLOAT": np.float32}


def tree(folder: Path) -> dict[str, bytes]:
    """Every file of a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_the_folder(client: Client) -> None:
    folder, manifest = client.path.parent, client.manifest
    assert sorted(os.listdir(folder))[:2] == ["1", "manifest-1.json"]
    assert not list(folder.glob(".staging-*"))
    assert manifest["version"] == 1 and manifest["reasons"] == []
    assert manifest["measured"]["index_recall"] >= manifest["target_recall"]
    assert manifest["bytes"]["variables"] > manifest["items"] * manifest["dim"] * 4
    assert (client.path / "assets.extra" / "tuning.svg").read_text().count('id="setting-') == len(
        manifest["tuning"]["curve"]
    )
    chosen, curve = manifest["tuning"]["chosen"], manifest["tuning"]["curve"]
    assert chosen in curve and chosen["recall"] >= manifest["target_recall"]


def test_warmup_requests_are_answered(client: Client) -> None:
    path = client.path / "assets.extra" / "tf_serving_warmup_requests"
    called = []
    for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator():
        request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
        signature = request.model_spec.signature_name
        client.model.call(signature, {name: tf.make_ndarray(value) for name, value in request.inputs.items()})
        called.append(signature)
    assert set(called) == set(SIGNATURES) and len(called) == client.manifest["warmup_requests"]


@pytest.fixture(scope="module")
def changed(
    exported: Callable[[str], Path], data: str, config: Config, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A folder whose version 1 was built and whose version 2 has a fresh item and tombstones."""
    folder = tmp_path_factory.mktemp("changed") / "retrieval"
    shutil.copytree(exported("scann"), folder)
    items = shelf(data)
    fresh, gone = folder.parent / "new.jsonl", folder.parent / "gone.txt"
    new = {"item_id": "NEW", "title": "zzq unicorn", "brand": "Zzb", "category_leaf": "zzleaf", "category_top": "t"}
    lines = [
        new,
        {"item_id": items.ids[0].decode(), "title": "known"},
        {"item_id": "OUT", "title": "o", "in_stock": False},
    ]
    fresh.write_text("\n".join(map(json.dumps, lines)))
    gone.write_text(f"{items.ids[3].decode()}\nnobody\n")
    settings = config("gate.max_regression=1")
    assert export(settings, None, data, str(folder), str(fresh), str(gone)) == 0
    return folder


def test_changes_without_a_build(changed: Path, opened: Callable[[str], Client], data: str) -> None:
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
    for condition in ({"required_terms": ["Unicorn", "zzb"]}, {"allowed_leaves": ["zzleaf"]}):
        answer = after.retrieve({"query": "shoes", "k": 2} | condition)
        assert answer["item_ids"].tolist() == [[b"NEW", b""]]
    past = [{"query": "shoes", "realtime_items": [one]} for one in ("NEW", "NOT THERE", " ")]
    assert np.abs(after.embed(past[0]) - before.embed(past[0])).max() > 1e-6  # its leaf and brand are known now
    assert after.embed(past[2]) == pytest.approx(before.embed(past[2]), abs=1e-5)
    query = after.embed({"query": "unicorn"})
    column = {"item_id": "NEW", "title": "zzq unicorn", "brand": "Zzb", "shop": "", "category_leaf": "zzleaf"}
    vector = after.model.call(
        "embed_item", {n: np.array([v.encode()], object) for n, v in (column | {"category_top": "t"}).items()}
    )["embedding"]
    score = dict(zip(*(after.search(query, 1000)[n][0].tolist() for n in ("item_ids", "scores")), strict=True))
    assert score[b"NEW"] == pytest.approx(float(vector[0] @ query[0]), abs=1e-4)


def test_the_gate(opened: Callable[[str], Client], data: str, config: Config) -> None:
    client = opened("brute_force")
    requests = eval_requests(data, 4, client.widths)
    queries = client.embed(*({"query": one.decode()} for one in requests.inputs["query"]))
    judge = Judge(requests, client.widths, config().gate)
    wrong = ExactAnswers(queries, np.full((len(queries), 5), b"another", object), 0.9)
    (reason,) = judge.verdict(str(client.path), False, wrong, []).reasons
    assert reason == "the index finds 0.0000 of the exact answers, --target-recall is 0.9"
    (reason,) = judge.verdict(str(client.path.parent / "7"), False, None, []).reasons
    assert reason.startswith("it does not load or answer")


def test_a_regression_is_rejected(changed: Path, data: str, config: Config, capsys: pytest.CaptureFixture[str]) -> None:
    """All that users bought is taken away: the version in place stays."""
    gone = changed.parent / "all.txt"
    wanted = next(iter(requests(data, "eval", 10_000, {"ordered_item_id", "clicked_item_id"}))).values()
    gone.write_text("\n".join({one.decode() for stage in wanted for one in stage.values.numpy()}))
    before = tree(changed / "2")
    assert export(config("gate.max_regression=0"), None, data, str(changed), None, str(gone)) == 3
    assert "Recall@10 fell from" in capsys.readouterr().err
    folder = ModelFolder(str(changed))
    assert folder.versions() == [1, 2] and tree(changed / "2") == before and folder.next_version() == 4
    assert "fell" in json.loads((changed / "rejected-3" / "manifest.json").read_text())["reasons"][0]


def test_the_last_versions_are_kept(tmp_path: Path) -> None:
    folder = ModelFolder(str(tmp_path / "models"))
    for number in range(1, 6):
        with folder.staging() as aside:
            model = aside / "model"
            model.mkdir()
            (model / "saved_model.pb").write_bytes(b"x")
            assert folder.next_version() == number
            folder.publish(model, number, {"version": number})
            folder.prune(2, aside)
    assert sorted(os.listdir(folder.path)) == ["4", "5", "manifest-4.json", "manifest-5.json"]


def test_broken_versions_in_place_do_not_stop_the_next(
    exported: Callable[[str], Path],
    job: str,
    data: str,
    config: Config,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "retrieval"
    shutil.copytree(exported("brute_force"), folder)
    shutil.copytree(folder / "1", folder / "2", ignore=shutil.ignore_patterns("variables"))  # a disk lost them
    shutil.copy(folder / "manifest-1.json", folder / "manifest-2.json")
    (folder / "3").mkdir()  # by hand
    assert ModelFolder(str(folder)).latest() == 2
    assert export(config("index=brute_force"), job, data, str(folder)) == 0
    said = capsys.readouterr().err
    assert f"{folder}/2 does not load or answer, so it is not judged by: " in said and f"{folder}/3" not in said
    measured = ModelFolder(str(folder)).manifest(4)["measured"]
    assert measured["offline_recall_in_place"] == pytest.approx(measured["offline_recall"], abs=1e-6)


def test_killed_at_any_moment(exported: Callable[[str], Path], job: str, data: str, config_file: str) -> None:
    folder = exported("portable")
    before = tree(folder)
    flags = ("--config", config_file, "--job-dir", job, "--data", data, "--output", str(folder), "--index", "portable")
    for stage in ("vectors", "model/saved_model.pb"):
        process = command(*flags)
        deadline = time.monotonic() + 120
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


def mistake(*flags: str) -> str:
    with pytest.raises(UserError) as raised:
        main(list(flags))
    assert "\n" not in str(raised.value)
    return str(raised.value)


def test_mistakes(job: str, data: str, tmp_path: Path) -> None:
    out = str(tmp_path / "models")
    assert "name --job-dir" in mistake("--data", data, "--output", out)
    assert "no _SUCCESS" in mistake("--job-dir", job, "--data", str(tmp_path), "--output", out)
    assert "no towers/query in it" in mistake("--job-dir", str(tmp_path), "--data", data, "--output", out)
    assert "no version in it to change" in mistake("--data", data, "--output", out, "--fresh", os.devnull)
    bad = tmp_path / "bad.jsonl"
    bad.write_text('{"item_id": "x", "title": "y"}\n{"title": "no id"}\n')
    said = mistake("--data", data, "--output", out, "--fresh", str(bad))
    assert said.endswith("bad.jsonl: line 2 is no catalogue record: missing item_id")
    assert "target_recall" in mistake("--job-dir", job, "--data", data, "--output", out, "--target-recall", "1.5")
    shards = mistake("--job-dir", job, "--data", data, "--output", out, "--shards", "0")
    assert shards.startswith("--shards takes a number from 1")
    assert "local or mounted" in mistake("--job-dir", job, "--data", data, "--output", "gs://bucket/models")
    (tmp_path / "file").write_text("")
    assert "cannot be written" in mistake("--job-dir", job, "--data", data, "--output", f"{tmp_path}/file/models")


def test_towers_of_another_schema(data: str, tmp_path: Path) -> None:
    module = tf.Module()
    module.embed = tf.function(
        lambda query: {"embedding": tf.zeros([1, 4])}, [tf.TensorSpec([None], tf.string, "query")]
    )
    for name in ("query", "item"):
        tf.saved_model.save(module, str(tmp_path / "towers" / name), signatures=module.embed)
    said = mistake("--job-dir", str(tmp_path), "--data", data, "--output", str(tmp_path / "models"))
    assert "towers/query is of another schema" in said
