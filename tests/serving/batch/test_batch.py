"""The batch jobs on Beam's own engine: the served model's answers, exact counts, nothing done twice."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow.parquet
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from serving.batch import steps
from serving.batch.__main__ import main
from serving.batch.commit import Outcome
from serving.batch.inference import Answered, ItemEmbedder, Servers
from serving.batch.input_files import find
from serving.batch.jobs import Job, embed_job, retrieve_job, server_job
from serving.batch.output_folder import BatchFolder, locked
from serving.batch.rows import Block, unpack
from serving.batch.run import JobStopped
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer, Settings
from tests.serving.batch.batches import embedding, record, run, vectors_by_id, write
from tests.serving.conftest import Client
from tests.serving.market import Shelf, shelf

COUNTS = ("in", "written", "added", "changed", "unchanged", "removed", "computed")


@pytest.fixture(scope="module")
def items(data: str) -> Shelf:
    return shelf(data)


@pytest.fixture(scope="module")
def model(exported: Callable[[str], Path]) -> str:
    return str(exported("brute_force"))


@pytest.fixture(scope="module")
def served(opened: Callable[[str], Client]) -> Client:
    return opened("brute_force")


def counted(outcome: Outcome) -> tuple[int, ...]:
    return tuple(outcome.manifest["counts"][name] for name in COUNTS)


def snapshot(folder: Path) -> dict[str, float]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}


@pytest.mark.parametrize("form", ["parquet", "tfrecord"])
def test_embeds_as_served(
    form: str, data: str, job: str, model: str, served: Client, items: Shelf, tmp_path: Path
) -> None:
    """By a job's tower or by a version's, in either format: the vectors of `embed_item`."""
    shared: dict[str, Any] = {"output": str(tmp_path), "format": form, "shards": 3}
    asked = embed_job(job, None, 64, **shared) if form == "parquet" else embed_job(None, model, 64, **shared)
    outcome = run(asked, find(data))
    count = len(items.ids)
    assert counted(outcome) == (count, count, count, 0, 0, 0, count)
    found = vectors_by_id(tmp_path)
    expected = served.model.call("embed_item", items.inputs)["embedding"]
    assert set(found) == {one.decode() for one in items.ids}
    for row, item_id in enumerate(items.ids):
        assert found[item_id.decode()] == pytest.approx(expected[row], abs=1e-5)
    again = run(asked, find(data))
    assert not again.changed and again.manifest["counts"]["computed"] == 0
    first = str(tmp_path / outcome.manifest["files"][0])
    if form == "parquet":  # readable without any of ours
        assert pyarrow.parquet.read_schema(first).names == ["item_id", "content_hash", "vector"]
    else:
        example = tf.train.Example.FromString(next(tf.data.TFRecordDataset(first, "GZIP").as_numpy_iterator()))
        assert len(example.features.feature["vector"].float_list.value) == 16


def test_only_what_changed_passes_through_the_model(job: str, items: Shelf, tmp_path: Path) -> None:
    rows = [record(items, row) for row in range(40)]
    bad = [b"not json", {"title": "no id"}, rows[3], record(items, 41, in_stock=False), b""]
    asked = embedding(job, tmp_path / "out", max_rejected_share=0.1)
    outcome = run(asked, find(write(tmp_path / "a.jsonl", [*rows, *bad])))
    assert counted(outcome) == (44, 40, 40, 0, 0, 0, 40)
    assert outcome.manifest["rejected"] == {"duplicate item_id": 1, "missing item_id": 1, "unparsable": 1}
    assert outcome.manifest["excluded"] == {"out of stock": 1}
    lines = (tmp_path / "out" / outcome.manifest["rejected_file"]).read_bytes().splitlines()
    assert sorted(orjson.loads(line)["reason"] for line in lines) == sorted(outcome.manifest["rejected"])
    before, files = vectors_by_id(tmp_path / "out"), snapshot(tmp_path / "out")
    same = run(asked, find(write(tmp_path / "a.jsonl", [*bad, *reversed(rows)])))
    assert not same.changed and snapshot(tmp_path / "out") == files
    changed = [record(items, 0, title="another title"), *rows[1:38], record(items, 50)]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(changed), tmp_path / "b.parquet")
    for shards in (2, 3):  # carried over also into another number of shards
        other = embedding(job, tmp_path / "out", shards=shards)
        outcome = run(other, find(str(tmp_path / "b.parquet")))
        assert counted(outcome) == ((39, 39, 1, 1, 37, 2, 2) if shards == 2 else (39, 39, 0, 0, 39, 0, 0))
    after = vectors_by_id(tmp_path / "out")
    assert set(after) == {row["item_id"] for row in changed}
    assert all(np.array_equal(after[row["item_id"]], before[row["item_id"]]) for row in rows[1:38])
    assert not np.array_equal(after[rows[0]["item_id"]], before[rows[0]["item_id"]])
    assert len(list((tmp_path / "out").glob("vectors-*"))) == 3


class Breaking(ItemEmbedder):
    """Breaks off at one item, while a file is there."""

    def __init__(self, of: Job, item_id: str, marker: str) -> None:
        super().__init__(of.handler._model, 4)  # type: ignore[attr-defined]
        self._item_id, self._marker = item_id, marker

    def run_inference(self, batch: Sequence[Block], model: Any, inference_args: Any = None) -> Iterator[Answered]:
        ids = unpack(packed for _, _, packed in batch)["item_id"].to_pylist()
        if Path(self._marker).exists() and self._item_id in ids:
            raise RuntimeError("the machine is gone")
        yield from super().run_inference(batch, model)


def test_goes_on_where_it_broke_off(job: str, items: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import dataclasses

    monkeypatch.setattr(steps, "_BUFFERED", 4)
    source = find(write(tmp_path / "a.jsonl", [record(items, row) for row in range(40)]))
    marker = tmp_path / "marker"
    marker.touch()
    asked = embedding(job, tmp_path / "out", shards=1)
    last = max(items.ids[:40]).decode()  # rows are taken in the order of ids
    breaking = dataclasses.replace(asked, handler=Breaking(asked, last, str(marker)))
    with pytest.raises(JobStopped, match="the machine is gone"):
        run(breaking, source)
    assert BatchFolder(str(tmp_path / "out")).manifest() is None
    marker.unlink()
    outcome = run(breaking, source)
    assert outcome.manifest["counts"]["written"] == 40
    assert 0 < outcome.manifest["counts"]["computed"] < 20
    run(embedding(job, tmp_path / "whole", shards=1), source)
    whole, found = vectors_by_id(tmp_path / "whole"), vectors_by_id(tmp_path / "out")
    assert set(found) == set(whole)
    for one, vector in whole.items():
        assert found[one] == pytest.approx(vector, abs=1e-5)
    assert not list((tmp_path / "out").rglob("part-*"))


def questions(items: Shelf) -> list[dict[str, Any]]:
    """Requests of all kinds."""
    ids = [one.decode() for one in items.ids]
    leaf = items.leaves[7].decode()
    return [
        {"request_id": "a", "query": "shoes", "k": 7},
        {"request_id": "b", "query": "红色 鞋", "realtime_items": ids[3:5], "history_queries": ["bag", "red"]},
        {"request_id": "c", "query": "bag", "allowed_leaves": [leaf], "long_order_items": ids[9:12]},
        {"request_id": "d", "query": "", "short_items": ["nobody"], "k": 3},
        {"request_id": "e", "query": "bag", "required_terms": ["zzqx"]},
        {"request_id": "g", "query": "bag", "allowed_brands": [items.brands[7].decode()], "excluded_items": ids[:8]},
        {"request_id": "h", "query": "bag", "price_range": [None, float(np.nanmedian(items.prices))]},
        *({"request_id": f"f{n}", "query": f"query {n}", "long_click_items": ids[n : n + 2]} for n in range(40)),
    ]


def check_answers(rows: list[dict[str, Any]], asked: list[dict[str, Any]], served: Client) -> None:
    """Identical ids, and scores to 1e-5, of what a client gets alone."""
    by_id = {row["request_id"]: row for row in rows}
    assert len(rows) == len(by_id) == len(asked)
    for request in asked:
        alone = served.retrieve(request)
        row = by_id[request["request_id"]]
        count = int((alone["item_ids"][0] != b"").sum())
        assert row["item_ids"] == [one.decode() for one in alone["item_ids"][0, :count]]
        assert row["scores"] == pytest.approx(alone["scores"][0, :count].tolist(), abs=1e-5)
        assert row["query"] == request["query"]


def test_retrieves_as_served(model: str, served: Client, items: Shelf, tmp_path: Path) -> None:
    asked = questions(items)
    bad = [{"query": 3}, {"query": "x", "realtime_items": "i1"}, {"query": "x", "k": 0}]
    bad += [{"query": "x", "price_range": [1]}, {"query": "x", "price_range": ["1", None]}]
    wide = {"query": "x", "required_terms": ["a", "b", "c", "d"]}
    plain = {"query": "nobody in particular"}
    path = write(tmp_path / "q.jsonl", [*asked, *bad, wide, plain, plain])
    shared: dict[str, Any] = {"output": str(tmp_path / "out"), "shards": 2, "max_rejected_share": 0.2}
    outcome = run(retrieve_job("retrieve", model, 10, 16, format="jsonl", **shared), find(path))
    assert outcome.manifest["rejected"] == {
        "bad k": 1,
        "bad price_range": 2,
        "bad query": 1,
        "bad realtime_items": 1,
        "duplicate request_id": 1,
        "required_terms: 4 given, this model takes 3": 1,
    }
    counts = outcome.manifest["counts"]
    assert counts["in"] == len(asked) + 8 and counts["written"] == len(asked) + 1
    lines = [line for path in BatchFolder(shared["output"]).files() for line in Path(path).read_bytes().splitlines()]
    rows = [orjson.loads(line) for line in lines]
    (alone,) = (row for row in rows if row["query"] == plain["query"])
    assert len(alone["item_ids"]) == 10 and len(alone["request_id"]) == 32
    check_answers([row for row in rows if row is not alone], asked, served)


def test_servers_give_the_same_answers(model: str, served: Client, items: Shelf, tmp_path: Path) -> None:
    server = ModelServer(Settings([ModelConfig("retrieval", Path(model))], address="127.0.0.1:0"))
    server.bind()
    target = f"127.0.0.1:{server.port}"
    server.start()
    asked = questions(items)
    path = write(tmp_path / "q.jsonl", asked)
    try:
        job = server_job(
            "retrieve",
            Servers((target,), "retrieval", 10),
            10,
            16,
            output=str(tmp_path / "out"),
            format="parquet",
            shards=2,
        )
        run(job, find(path))
    finally:
        server.stop(5)
    rows = [row for path in BatchFolder(job.output).files() for row in pyarrow.parquet.read_table(path).to_pylist()]
    check_answers(rows, asked, served)


def test_what_is_like_each_item(model: str, served: Client, items: Shelf, tmp_path: Path) -> None:
    """By a version and by a server: of a catalogue's records, of rows with conditions, not of who is nobody."""
    rows = [record(items, row) for row in range(30)]
    rows += [{"item_id": items.ids[40].decode(), "k": 3, "allowed_leaves": [items.leaves[40].decode()]}]
    bad = [{"item_id": "nobody"}, {"title": "no id"}, {"item_id": "x", "k": 0}]
    bad += [{"item_id": items.ids[41].decode(), "required_terms": ["a", "b", "c", "d"]}]
    source = find(write(tmp_path / "items.jsonl", [*rows, *bad]))
    server = ModelServer(Settings([ModelConfig("retrieval", Path(model))], address="127.0.0.1:0"))
    server.bind()
    servers = Servers((f"127.0.0.1:{server.port}",), "retrieval", 10)
    server.start()
    found = {}
    shared: dict[str, Any] = {"format": "parquet", "shards": 2, "max_rejected_share": 0.2}
    try:
        jobs = {
            "model": retrieve_job("similar", model, 10, 16, output=str(tmp_path / "model"), **shared),
            "server": server_job("similar", servers, 10, 16, output=str(tmp_path / "server"), **shared),
        }
        for name, job in jobs.items():
            outcome = run(job, source)
            assert outcome.manifest["counts"]["written"] == len(rows)
            assert outcome.manifest["rejected"] == {
                "bad k": 1,
                "missing item_id": 1,
                "no such item in this version": 1,
                "required_terms: 4 given, this model takes 3": 1,
            }
            tables = [pyarrow.parquet.read_table(path) for path in BatchFolder(job.output).files()]
            found[name] = {one["item_id"]: one for table in tables for one in table.to_pylist()}
    finally:
        server.stop(5)
    for row in rows:
        inputs = {"item_id": np.array([row["item_id"].encode()], object), "k": np.array([row.get("k", 10)], np.int32)}
        conditions = served.conditions({"allowed_leaves": row.get("allowed_leaves", [])})
        alone = served.model.call("similar", inputs | conditions)
        ids = [one.decode() for one in alone["item_ids"][0] if one]
        for answers in found.values():
            assert answers[row["item_id"]]["item_ids"] == ids and row["item_id"] not in ids
            assert answers[row["item_id"]]["scores"] == pytest.approx(alone["scores"][0, : len(ids)].tolist(), abs=1e-5)


def test_worker_processes(job: str, items: Shelf, tmp_path: Path) -> None:
    rows = [record(items, row) for row in range(60)]
    flags = ["--direct_running_mode=multi_processing", "--direct_num_workers=2"]
    source = find(write(tmp_path / "a.jsonl", rows))
    assert counted(run(embedding(job, tmp_path / "two"), source, flags))[:2] == (60, 60)
    run(embedding(job, tmp_path / "one"), source)
    one, two = vectors_by_id(tmp_path / "one"), vectors_by_id(tmp_path / "two")
    assert set(one) == set(two)
    for item_id, vector in one.items():
        assert two[item_id] == pytest.approx(vector, abs=1e-5)


def test_too_many_rejected_change_nothing(job: str, items: Shelf, tmp_path: Path) -> None:
    asked = embedding(job, tmp_path / "out")
    run(asked, find(write(tmp_path / "a.jsonl", [record(items, row) for row in range(10)])))
    manifest = (tmp_path / "out" / "batch.json").read_text()
    half = [*(record(items, row) for row in range(5)), *[b"broken"] * 5]
    with pytest.raises(UserError, match="5 of 10 records were rejected"):
        run(asked, find(write(tmp_path / "b.jsonl", half)))
    with pytest.raises(UserError, match="none of its 3 records"):
        run(asked, find(write(tmp_path / "c.jsonl", [b"broken"] * 3)))
    assert (tmp_path / "out" / "batch.json").read_text() == manifest
    assert len(vectors_by_id(tmp_path / "out")) == 10


def test_one_run_at_a_time(job: str, items: Shelf, tmp_path: Path) -> None:
    source = find(write(tmp_path / "a.jsonl", [record(items, 0)]))
    with locked(str(tmp_path / "out"), "--output"), pytest.raises(UserError, match="another run is at work"):
        run(embedding(job, tmp_path / "out"), source)


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ("--mode embed --input {in} --output {out}", "takes one of --job-dir and --model"),
        ("--mode embed --input {in} --output {out} --job-dir {no}", "no towers/item in it"),
        ("--mode embed --input {no} --output {out} --job-dir {job}", "no such file"),
        ("--mode embed --input {in} --output {full} --job-dir {job}", "not this job's"),
        ("--mode embed --input {in} --output {out} --job-dir {job} --format jsonl", "writes parquet or tfrecord"),
        ("--mode embed --input {in} --output {out} --job-dir {job} --rumner=x", "unknown flag --rumner"),
        (
            "--mode retrieve --input {in} --output {out} --job-dir {job}",
            "takes one of --model, --target and --shard-map",
        ),
        ("--mode retrieve --input {in} --output {out} --model {no}", "no version in it"),
        ("--mode retrieve --input {in} --output {out} --target 127.0.0.1:1 --timeout 1", "--target 127.0.0.1:1"),
        ("--mode retrieve --input {in} --output {out} --model {no} --k 0", "--k 0"),
    ],
)
def test_mistakes(flags: str, said: str, job: str, tmp_path: Path) -> None:
    places = {"in": write(tmp_path / "in.jsonl", [b"{}"]), "out": tmp_path / "out", "no": tmp_path / "no", "job": job}
    places["full"] = tmp_path
    with pytest.raises(UserError, match=said):
        main([part.format(**places) for part in flags.split()])
    assert not (tmp_path / "out" / "batch.json").exists()


def test_command(job: str, items: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    renamed = [{("sku" if name == "item_id" else name): value for name, value in record(items, 1).items()}]
    source = write(tmp_path / "a.jsonl", renamed)
    flags = ["--mode", "embed", "--input", source, "--job-dir", job, "--output", str(tmp_path / "out")]
    assert main([*flags, "--columns", "item_id=sku", "--shards", "1"]) == 0
    assert "1 of 1 records (1 new, 0 changed, 0 unchanged, 0 removed)" in capsys.readouterr().out
    assert json.loads((tmp_path / "out" / "batch.json").read_text())["counts"]["written"] == 1
