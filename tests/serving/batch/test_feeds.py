"""What other stores take in: the vectors as they are, in each store's own lines, kept up with the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from apache_beam.io.filesystems import FileSystems
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from serving.batch.answer_files import vector_table
from serving.batch.commit import finish
from serving.batch.feeds import FEEDS, write_feed
from serving.batch.input_files import find
from serving.batch.output_folder import BatchFolder
from serving.batch.rows import HASH
from tests.serving.batch.batches import embedding, record, run, vectors_by_id, write
from tests.serving.market import shelf

SETUPS = {"opensearch": "feed-00001-mapping.json", "vespa": "feed-00001-item.sd", "vertex": "feed-00001-index.json"}
NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)


def documents(store: str, lines: list[Any]) -> Iterator[tuple[str, list[float]]]:
    """(id, vector) of each item, by the store's own rules."""
    if store == "vertex":
        yield from ((line["id"], line["embedding"]) for line in lines)
    elif store == "vespa":
        for line in lines:
            assert line["create"] and line["update"] == f"id:items:item::{line['fields']['item_id']['assign']}"
            yield line["fields"]["item_id"]["assign"], line["fields"]["vector"]["assign"]["values"]
    else:
        for action, content in zip(lines[::2], lines[1::2], strict=True):
            assert content["doc_as_upsert"] and action["update"]["_id"] == content["doc"]["item_id"]
            yield action["update"]["_id"], content["doc"]["vector"]


def fed(store: str, output: Path) -> dict[str, np.ndarray]:
    """What a store would hold of a folder."""
    manifest = BatchFolder(str(output)).manifest()
    assert manifest is not None
    texts = [(output / name).read_bytes() for name in manifest["feed"]["files"]]
    lines = [orjson.loads(line) for text in texts for line in text.splitlines()]
    found = dict(documents(store, lines))
    assert len(found) == manifest["counts"]["written"]
    return {name: np.array(vector, np.float32) for name, vector in found.items()}


def equal(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)


def names(output: Path) -> set[str]:
    return {str(path.relative_to(output)) for path in output.rglob("*") if path.name != ".lock"}


@pytest.mark.parametrize("store", FEEDS)
@given(
    ids=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1, max_size=5, unique=True),
    numbers=st.lists(NUMBERS, min_size=3, max_size=3),
)
def test_lines_hold_ids_and_float32_exactly(
    store: str, ids: list[str], numbers: list[float], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.getbasetemp() / f"{store}.json"
    vectors = np.array([numbers] * len(ids), np.float32)
    write_feed(str(path), FEEDS[store], vector_table(pa.array(ids), pa.array([bytes(16)] * len(ids), HASH), vectors))
    found = dict(documents(store, [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]))
    assert list(found) == ids
    assert all(np.array_equal(np.array(one, np.float32), vectors[0]) for one in found.values())


@pytest.mark.parametrize("store", FEEDS)
def test_a_store_is_fed_what_the_tables_hold(store: str, job: str, data: str, tmp_path: Path) -> None:
    items, output = shelf(data), tmp_path / "out"
    rows = [record(items, row) for row in range(30)]
    asked = embedding(job, output, format=store)
    first = run(asked, find(write(tmp_path / "a.jsonl", rows)))
    assert equal(fed(store, output), vectors_by_id(output))
    assert first.manifest["feed"]["setup"] == SETUPS[store]
    ending = FEEDS[store].ending
    assert first.manifest["feed"]["files"] == [f"feed-00001/{n:05d}-of-00002{ending}" for n in range(2)]
    before = names(output)
    assert not run(asked, find(write(tmp_path / "a.jsonl", rows[::-1]))).changed and names(output) == before
    changed = [record(items, 0, title="another title"), *rows[2:]]
    second = run(asked, find(write(tmp_path / "b.jsonl", changed)))
    assert second.manifest["counts"]["computed"] == 1
    assert equal(fed(store, output), vectors_by_id(output)) and len(fed(store, output)) == 29
    of_run = {*second.manifest["files"], *second.manifest["feed"]["files"], second.manifest["feed"]["setup"]}
    assert names(output) == {*of_run, "batch.json", "feed-00002"}


def test_another_format_is_made_of_the_vectors_in_place(job: str, data: str, tmp_path: Path) -> None:
    source = find(write(tmp_path / "a.jsonl", [record(shelf(data), row) for row in range(20)]))
    run(embedding(job, tmp_path / "out"), source)
    for store in FEEDS:
        outcome = run(embedding(job, tmp_path / "out", format=store), source)
        assert outcome.changed and outcome.manifest["counts"]["computed"] == 0
        assert equal(fed(store, tmp_path / "out"), vectors_by_id(tmp_path / "out"))
    plain = run(embedding(job, tmp_path / "out"), source)
    assert plain.manifest["feed"] is None and names(tmp_path / "out") == {"batch.json", *plain.manifest["files"]}


def test_the_setups_name_the_width_of_the_vectors(job: str, data: str, tmp_path: Path) -> None:
    source = find(write(tmp_path / "a.jsonl", [record(shelf(data), 1)]))
    texts = {}
    for store, name in SETUPS.items():
        run(embedding(job, tmp_path / store, format=store), source)
        texts[store] = (tmp_path / store / name).read_text()
    mapping = json.loads(texts["opensearch"])
    assert mapping["settings"] == {"index.knn": True}
    assert mapping["mappings"]["properties"]["vector"]["dimension"] == 16
    assert json.loads(texts["vertex"])["config"]["dimensions"] == 16
    assert texts["vespa"].count("tensor<float>(x[16])") == 2


@pytest.mark.parametrize("moves", [1, 3, 5])  # among tables, among what is fed, and at the manifest
def test_readers_find_a_whole_run_wherever_one_breaks_off(
    moves: int, job: str, data: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    items, output = shelf(data), tmp_path / "out"
    asked = embedding(job, output, format="vespa")
    before = run(asked, find(write(tmp_path / "a.jsonl", [record(items, row) for row in range(20)]))).manifest
    rename, publish, moved, at_work = FileSystems.rename, BatchFolder.publish, list[str](), list[bool]()

    def publishing(self: BatchFolder, plan: dict[str, Any]) -> None:
        at_work.append(True)
        publish(self, plan)

    def dying(sources: list[str], targets: list[str]) -> None:
        if at_work and len(moved) == moves:
            raise OSError("the worker is gone")
        moved.extend(sources if at_work else ())
        rename(sources, targets)

    with monkeypatch.context() as patch:
        patch.setattr(BatchFolder, "publish", publishing)
        patch.setattr(FileSystems, "rename", dying)
        with pytest.raises(OSError, match="the worker is gone"):
            run(asked, find(write(tmp_path / "b.jsonl", [record(items, row) for row in range(25)])))
    assert len(fed("vespa", output)) == 20
    assert finish(asked, before).manifest["counts"]["added"] == 5
    assert len(fed("vespa", output)) == 25 and not (output / "feed-00001").exists()


def test_answers_to_queries_are_for_no_store(tmp_path: Path) -> None:
    from serving.batch.__main__ import main

    flags = f"--mode retrieve --input {tmp_path} --output {tmp_path / 'out'} --model {tmp_path} --format vespa"
    with pytest.raises(UserError, match="--format vespa: --mode retrieve writes parquet or jsonl"):
        main(flags.split())
