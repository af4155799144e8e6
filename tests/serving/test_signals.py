"""A version of towers that read the kind and age of actions: whoever asks it can say them, and need not."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from tensorflow_serving.apis import model_pb2

from serving.batch.input_files import find
from serving.batch.jobs import retrieve_job
from serving.batch.output_folder import BatchFolder
from serving.batch.run import run
from serving.client import Retriever, User
from serving.config import ServingConfig
from serving.graph.saved_model import ServedModel
from serving.inputs import SIGNAL_LISTS, VECTOR_LISTS
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer, Settings
from serving.runtime.ui.files import Catalogue
from serving.runtime.ui.reasons import Asked, Reasons, Words
from tests.serving.experiment import untrained_job, write_experiment
from tests.serving.market import shelf

SMALL = {"dim": 16, "grains": {"sequence_hidden": 16}, "horizons": {"signals": ["action", "age"]}}
NAMES = set(SIGNAL_LISTS.values())


@pytest.fixture(scope="module")
def folder(data: str, config: Callable[..., ServingConfig], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with version 1; it was judged and warmed with the records' own signals."""
    from serving.export import export

    place = tmp_path_factory.mktemp("signals")
    job = untrained_job(write_experiment(place, model="mgdspr", mgdspr=SMALL), data, place / "job")
    assert export(config("index=brute_force"), job, data, str(place / "retrieval")) == 0
    return place / "retrieval"


@pytest.fixture(scope="module")
def users(data: str) -> list[User]:
    """One past, told with and without its actions."""
    items = [one.decode() for one in shelf(data).ids]
    past: dict[str, Any] = {"realtime_items": items[:3], "short_items": items[3:5]}
    known = past | {"realtime_actions": [4, 1, 2], "realtime_ages": [60, 600, 7_000]}
    known |= {"short_actions": [3, 1], "short_ages": [90_000, 700_000]}
    return [User(**past), User(**known)]


@pytest.fixture(scope="module")
def target(folder: Path) -> Iterator[str]:
    server = ModelServer(Settings([ModelConfig("retrieval", folder)], address="127.0.0.1:0"))
    server.bind()
    server.start()
    yield f"127.0.0.1:{server.port}"
    server.stop(0)


def scores_of(model: ServedModel, user: User, k: int) -> dict[str, float]:
    """Straight from the graph."""
    inputs: dict[str, np.ndarray] = {"query": np.array([b"shoes"], object), "k": np.array([k], np.int32)}
    for name, one in model.signatures["retrieve"].inputs.items():
        if name in inputs:
            continue
        width = one.tensor_shape.dim[1].size
        if name == "price_range":
            inputs[name] = np.full((1, 2), np.nan, np.float32)
            continue
        values = list(getattr(user, name, ()))
        filled = values + [0 if name in NAMES else ""] * (width - len(values))
        inputs[name] = np.array([filled], np.int32 if name in NAMES else object)
    found = model.call("retrieve", inputs)
    return dict(zip((one.decode() for one in found["item_ids"][0]), found["scores"][0].tolist(), strict=True))


def test_only_what_shapes_a_vector_takes_them(folder: Path) -> None:
    with ServedModel(str(folder / "1"), False) as model:
        for name, signature in model.signatures.items():
            assert NAMES & set(signature.inputs) == (NAMES if name in ("retrieve", "embed_query") else set())
        takes = model.signatures["embed_query"].inputs
        for name in NAMES:
            of_items = takes[f"{name.split('_')[0]}_items"].tensor_shape.dim[1].size
            assert takes[name].tensor_shape.dim[1].size == of_items
        assert set(takes) == {"query", *VECTOR_LISTS, *NAMES}


def test_a_client_may_say_them_and_one_that_does_not_is_unknown(folder: Path, users: list[User], target: str) -> None:
    with ServedModel(str(folder / "1"), False) as model:
        expected = [scores_of(model, user, 5) for user in users]
    assert list(expected[0].values()) != pytest.approx(list(expected[1].values()), abs=1e-6)
    with Retriever(target, timeout=60) as retriever:
        for user, scores in zip(users, expected, strict=True):
            found = {hit.item_id: hit.score for hit in retriever.retrieve("shoes", user, 5).hits}
            assert found == pytest.approx(scores, abs=1e-5)


def test_batch_jobs_say_them_too(folder: Path, users: list[User], tmp_path: Path) -> None:
    rows = [
        {"request_id": str(number), "query": "shoes"} | {name: value for name, value in vars(user).items() if value}
        for number, user in enumerate(users)
    ]
    bad = [{"query": "x", "realtime_ages": [-1]}, {"query": "x", "short_actions": ["1"]}]
    (tmp_path / "q.jsonl").write_bytes(b"\n".join(map(orjson.dumps, [*rows, *bad])))
    shared: dict[str, Any] = {"output": str(tmp_path / "out"), "format": "jsonl", "shards": 1}
    asked = retrieve_job("retrieve", str(folder), 5, 16, max_rejected_share=0.6, **shared)
    outcome = run(asked, find(str(tmp_path / "q.jsonl")))
    assert outcome is not None
    assert outcome.manifest["rejected"] == {"bad realtime_ages": 1, "bad short_actions": 1}
    answers = BatchFolder(shared["output"]).files()
    lines = [orjson.loads(line) for path in answers for line in Path(path).read_bytes().splitlines()]
    with ServedModel(str(folder / "1"), False) as model:
        for line in lines:
            expected = scores_of(model, users[int(line["request_id"])], 5)
            assert dict(zip(line["item_ids"], line["scores"], strict=True)) == pytest.approx(expected, abs=1e-5)
    assert len(lines) == 2


def test_the_page_says_them_too(folder: Path, users: list[User]) -> None:
    server = ModelServer(Settings([ModelConfig("retrieval", folder)], warm_up=False))
    server.manager.configure(server.settings.models)
    reasons = Reasons(server.predictor, Catalogue({}), Words())
    nothing = dict.fromkeys(("required_terms", "allowed_leaves", "allowed_brands", "excluded_items"), ())
    try:
        with ServedModel(str(folder / "1"), False) as model:
            for user in users:
                asked = Asked("shoes", user, 5, nothing | {"price_range": (math.nan, math.nan)}, 60)
                found = reasons.ask(model_pb2.ModelSpec(name="retrieval"), asked)["hits"]
                expected = scores_of(model, user, 5)
                assert {hit["item_id"]: hit["score"] for hit in found} == pytest.approx(expected, abs=1e-5)
    finally:
        server.stop(0)


@pytest.mark.parametrize("values", [["1"], [-1], [True], [1 << 31], 3])
def test_a_user_file_with_other_than_whole_numbers_is_told(values: object) -> None:
    with pytest.raises(ValueError, match=r"u\.json: short_ages must be a list of whole numbers from 0 to 2147483647"):
        User.of({"short_ages": values}, "u.json")
