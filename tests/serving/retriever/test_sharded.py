"""The client on a real sharded export: found as in one index, without a shard, and over to a new version under load."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from serving.batch.__main__ import main as batch
from serving.client import Answer, RetrievalError, Retriever, User
from serving.config import ServingConfig
from serving.export import export
from serving.retriever.sharded import read_shard_map
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer
from serving.sharding.shards import shard_numbers
from tests.ports import free_ports
from tests.serving.conftest import Client
from tests.serving.experiment import untrained_job
from tests.serving.market import Shelf, shelf
from tests.serving.runtime.serving_stubs import TIMEOUT

Serve = Callable[..., ModelServer]
Config = Callable[..., ServingConfig]
K = 20
NAMES = ("query", "shard-00000-of-00002", "shard-00001-of-00002")


@pytest.fixture(scope="module")
def port() -> int:
    (one,) = free_ports(1)
    return one


@pytest.fixture(scope="module")
def settings(config: Config, port: int) -> ServingConfig:
    return config("index=brute_force", "gate.max_regression=1", f"shard_target=127.0.0.1:{port}")


@pytest.fixture(scope="module")
def sharded(exported_shards: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two shards of an export, and the model of queries."""
    folder = tmp_path_factory.mktemp("sharded") / "retrieval"
    shutil.copytree(exported_shards, folder)
    listed = json.loads((folder / "shards.json").read_text())
    for place in (listed["query"], *listed["shards"]):
        place["target"] = f"127.0.0.1:{port}"
    (folder / "shards.json").write_text(json.dumps(listed))
    return folder


@pytest.fixture(scope="module")
def items(data: str) -> Shelf:
    return shelf(data)


def configs(folder: Path, *names: str) -> list[ModelConfig]:
    return [ModelConfig(name, folder / name, latest=2) for name in names]


def found(answer: Answer) -> list[tuple[str, float]]:
    return [(hit.item_id, round(hit.score, 3)) for hit in answer.hits]


def requests(items: Shelf) -> list[dict[str, Any]]:
    past = User(realtime_items=[one.decode() for one in items.ids[:3]], history_queries=["red shoes"])
    return [
        {"query": "shoes"},
        {"query": "bag", "user": past},
        {"query": "shoes", "allowed_leaves": [items.leaves[0].decode()]},
        {"query": "bag", "required_terms": [items.titles[7].decode()]},
    ]


def batch_answers(shard_map: Path, items: Shelf, folder: Path) -> list[list[str]]:
    """The batch job's answers to two of the requests, one of them with a condition."""
    rows = [{"request_id": "a", "query": "shoes"}]
    rows.append({"request_id": "b", "query": "shoes", "allowed_leaves": [items.leaves[0].decode()]})
    (folder / "queries.jsonl").write_text("\n".join(map(json.dumps, rows)))
    flags = ["--mode", "retrieve", "--input", str(folder / "queries.jsonl"), "--output", str(folder / "answers")]
    assert batch([*flags, "--shard-map", str(shard_map), "--k", str(K), "--format", "jsonl", "--shards", "1"]) == 0
    (name,) = json.loads((folder / "answers" / "batch.json").read_text())["files"]
    answers = [json.loads(line) for line in (folder / "answers" / name).read_text().splitlines()]
    return [one["item_ids"] for one in sorted(answers, key=lambda one: one["request_id"])]


def test_without_one_of_its_shards(
    sharded: Path, serve: Serve, opened: Callable[[str], Client], items: Shelf, tmp_path: Path
) -> None:
    servers = {name: serve(sharded, models=configs(sharded, name)) for name in NAMES}
    listed = json.loads((sharded / "shards.json").read_text())
    for place in (listed["query"], *listed["shards"]):
        place["target"] = f"127.0.0.1:{servers[place['name']].port}"
    path = tmp_path / "shards.json"
    path.write_text(json.dumps(listed))
    whole = opened("brute_force")
    with Retriever(shards=str(path), timeout=TIMEOUT) as retriever:
        wanted = []
        for request in requests(items):
            user = request.get("user", User())
            lists = {name: list(values) for name, values in vars(user).items()}
            asked = {**lists, **{name: value for name, value in request.items() if name != "user"}, "k": K}
            one = whole.retrieve(asked)
            wanted.append([one_id.decode() for one_id in one["item_ids"][0] if one_id])
            answer = retriever.retrieve(k=K, **request)
            assert [hit.item_id for hit in answer.hits] == wanted[-1] and not answer.partial
            assert answer.versions == dict.fromkeys(NAMES[1:], 1)
        assert batch_answers(path, items, tmp_path) == [wanted[0], wanted[2]]
        check_neighbours(retriever, whole, items)
        servers[NAMES[2]].stop(0)
        numbers = dict(zip(items.ids, shard_numbers(np.array(items.ids, object), 2).tolist(), strict=True))
        for request, all_of_them in zip(requests(items), wanted, strict=True):
            answer = retriever.retrieve(k=K, **request)
            assert set(answer.missing) == {NAMES[2]}
            left = [one for one in all_of_them if numbers[one.encode()] == 0]
            assert [hit.item_id for hit in answer.hits][: len(left)] == left
            assert all(numbers[hit.item_id.encode()] == 0 for hit in answer.hits)
        here, there = (next(one.decode() for one in items.ids if numbers[one] == shard) for shard in range(2))
        answer = retriever.similar(here, k=K)
        assert answer.known and set(answer.missing) == {NAMES[2]} and len(answer.hits) == K
        with pytest.raises(RetrievalError):  # who has the item is gone: nobody knows what it is like
            retriever.similar(there, k=K)


def check_neighbours(retriever: Retriever, whole: Client, items: Shelf) -> None:
    """What is most like items of either shard, and like one that nobody has."""
    for item_id in items.ids[:6]:
        for conditions in ({}, {"allowed_leaves": [items.leaves[0].decode()]}):
            inputs = {"item_id": np.array([item_id], object), "k": np.array([K], np.int32)}
            one = whole.model.call("similar", inputs | whole.conditions(conditions))
            answer = retriever.similar(item_id.decode(), k=K, **conditions)
            assert [hit.item_id for hit in answer.hits] == [found.decode() for found in one["item_ids"][0] if found]
            assert answer.known and answer.versions == dict.fromkeys(NAMES[1:], 1)
    nobody = retriever.similar("nobody", k=K)
    assert not nobody.known and not nobody.hits and not nobody.partial


def test_a_new_version_under_load(
    sharded: Path,
    serve: Serve,
    settings: ServingConfig,
    port: int,
    data: str,
    items: Shelf,
    config_file: str,
    tmp_path: Path,
) -> None:
    """Other towers: a vector of the one among items of the other would give scores that neither gives."""
    serve(sharded, models=configs(sharded, *NAMES), address=f"127.0.0.1:{port}", poll_seconds=0.1)
    other = untrained_job(config_file, data, tmp_path / "job")
    asked, over = requests(items), threading.Event()
    with Retriever(shards=str(sharded / "shards.json"), timeout=TIMEOUT, poll_s=0.1) as retriever:

        def ask(number: int) -> list[tuple[int, Answer]]:
            answers, last = [], False
            while not last:  # once more when it is over, to meet the new version
                last = over.wait(0.1)
                number = (number + 1) % len(asked)
                answers.append((number, retriever.retrieve(k=K, **asked[number])))
            return answers

        before = [found(retriever.retrieve(k=K, **one)) for one in asked]
        with ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask, number) for number in range(4)]
            try:
                assert export(settings, other, data, str(sharded), shards=2) == 0
                deadline = time.monotonic() + 600
                while set(retriever.retrieve("shoes").versions.values()) != {2} and time.monotonic() < deadline:
                    time.sleep(0.05)
            finally:
                over.set()
            answers = [one for each in asking for one in each.result()]
        after = [found(retriever.retrieve(k=K, **one)) for one in asked]
    assert before != after and not any(answer.partial for _, answer in answers)
    for number, answer in answers:
        (version,) = set(answer.versions.values())
        assert found(answer) == {1: before, 2: after}[version][number]
    assert {version for _, answer in answers for version in answer.versions.values()} == {1, 2}


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "cannot be read"), ("{", "is no shards.json"), ('{"version": 1, "query": {}}', "is no shards.json")],
)
def test_mistakes_in_the_file(content: str | None, words: str, tmp_path: Path) -> None:
    path = tmp_path / "shards.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(ValueError, match=words):
        read_shard_map(str(path))
