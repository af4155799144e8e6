"""Vectors of another encoder, from the catalogue's records through training to a served version."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from preprocessing.pipeline import run
from serving.batch.input_files import find
from serving.config import ServingConfig
from serving.export import export
from serving.graph.saved_model import ServedModel
from serving.refresh import refresh
from tests.e2e.topics import ITEMS, TOPICS, WIDTH, is_late, records, topic_of, write_topics
from tests.serving.batch.batches import embedding, vectors_by_id
from tests.serving.batch.batches import run as run_batch
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, requests
from trainer.data.training_data import TrainingData
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.encode_requests import encode_queries
from trainer.evaluation.exact_top_k import item_vectors
from trainer.job.restore import restore
from trainer.models.build import build_model
from trainer.task import train

_SECTIONS: dict[str, Any] = {
    "preprocessing": {
        "input": {"catalog": {"pattern": "catalog*", "vector_width": WIDTH}},
        "text": {"title_grains": ["char", "bigram", "word"]},
        "split": {"eval_days": 2, "validation_days": 1},
        "vocabularies": {"word": {"min_count": 1}},
    },
    "trainer": {
        "mgdspr": {"dim": 16, "grains": {"sequence_hidden": 16}, "item": {"id": False, "side": []}},
        "mmse": {"dim": 8, "grains": {"mix": False, "sequence_hidden": 16}, "item": {"id": False, "side": ["leaf"]}},
        "dnn": {"dim": 16, "hidden": [16]},
        "data": {"batch": 64, "shuffle": 1000, "readers": 2, "prefetch": 2},
        "loss": {"catalog_negatives": 128},
        "optimizer": {"warmup_steps": 4, "dense_rate": 0.01},
        "training": {"steps": 120, "steps_per_call": 20, "checkpoint_every_steps": 120},
        "validation": {"every_steps": 120, "requests": 32, "k": 20},
    },
    "serving": {"index": "brute_force", "default_k": 10, "tuning": {"k": 10, "queries": 64}, "gate": {"k": 10}},
}
_SWITCHES = {"dnn": "dnn.vector", "mgdspr": "mgdspr.item.vector", "mmse": "mmse.item.vector"}


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("config") / "experiment.yaml"
    path.write_text(yaml.safe_dump(_SECTIONS))
    return str(path)


@pytest.fixture(scope="module")
def data(experiment: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("topics")
    write_topics(folder / "raw")
    run(load_section(experiment, "preprocessing", PreprocessingConfig), str(folder / "raw"), str(folder / "data"), ())
    return str(folder / "data")


@pytest.fixture(scope="module")
def trained(data: str, experiment: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, bool], str]:
    """`trained("dnn", True)`: a job that reads vectors; each is trained once."""
    jobs: dict[tuple[str, bool], str] = {}

    def of(model: str, reads: bool) -> str:
        if (model, reads) not in jobs:
            sets = [f"trainer.model={model}", f"trainer.{_SWITCHES[model]}={str(reads).lower()}"]
            jobs[model, reads] = str(tmp_path_factory.mktemp("job"))
            train(load_section(experiment, "trainer", TrainerConfig, sets), data, jobs[model, reads])
        return jobs[model, reads]

    return of


@pytest.fixture(scope="module")
def version(data: str, experiment: str, trained: Callable, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder with version 1 of a job that reads vectors."""
    folder = tmp_path_factory.mktemp("models") / "retrieval"
    assert export(load_section(experiment, "serving", ServingConfig), trained("dnn", True), data, str(folder)) == 0
    return folder


def _of_topic_among_late(job: str, data: str) -> float:
    """Of each topic's ten best among the items that training never met, the share that is of the topic."""
    towers, catalogue = restore(job, data), Catalogue(data)
    scores = (
        encode_queries(towers, data, [f"topic{topic}" for topic in range(TOPICS)])
        @ item_vectors(towers, data, len(catalogue), 1 << 20).T
    )
    ids = [one.decode() for one in catalogue.item_ids]
    late = [row for row, item_id in enumerate(ids) if is_late(item_id)]
    best = [sorted(late, key=lambda row: -scores[topic, row])[:10] for topic in range(TOPICS)]
    return float(np.mean([[topic_of(ids[row]) == topic for row in rows] for topic, rows in enumerate(best)]))


def test_records_hold_them(data: str) -> None:
    given = {one["item_id"]: one.get("vector", [0] * WIDTH) for one in records()}
    spec = json.loads(Path(data, "spec.json").read_text())
    assert spec["vector_width"] == WIDTH
    (items,) = catalog(data, ITEMS, ["item_id", "vector"])
    assert items["vector"].shape == (ITEMS, WIDTH)
    for item_id, vector in zip(items["item_id"].numpy(), items["vector"].numpy(), strict=True):
        np.testing.assert_allclose(vector, given[item_id.decode()], rtol=1e-6)
    columns = ["clicked_item_id", "clicked_vector", "shown_vector"]
    for split in ("train", "eval"):
        batch = next(iter(requests(data, split, 50, columns)))
        clicked = batch["clicked_item_id"].values.numpy()
        assert batch["clicked_vector"].values.shape == (len(clicked), WIDTH) and len(clicked) == 50
        wanted = [given[item_id.decode()] for item_id in clicked]
        np.testing.assert_allclose(batch["clicked_vector"].values, wanted, rtol=1e-6)
        assert not batch["shown_vector"].values.shape[0]


@pytest.mark.parametrize("model", _SWITCHES)
def test_what_titles_do_not_say_is_learned_from_vectors(
    model: str, data: str, trained: Callable[[str, bool], str]
) -> None:
    assert _of_topic_among_late(trained(model, True), data) > 0.9


def test_without_vectors_it_is_not_learned(data: str, trained: Callable[[str, bool], str]) -> None:
    assert _of_topic_among_late(trained("dnn", False), data) < 0.5


def test_requests_of_the_catalogue_bring_vectors_too(data: str, experiment: str, tmp_path: Path) -> None:
    sets = ["model=dnn", "dnn.vector=true", "data.catalog_requests=0.5", "training.steps=2", "validation.every_steps=2"]
    config = load_section(experiment, "trainer", TrainerConfig, [f"trainer.{one}" for one in sets])
    train(config, data, str(tmp_path / "job"))
    model = build_model(config, json.loads(Path(data, "spec.json").read_text()))
    batches = TrainingData(data, config, model.request_columns, model.item_columns).batches()
    batch = next(iter(batches))["requests"]
    given = {tuple(np.array(one.get("vector", [0] * WIDTH), np.float32)) for one in records()}
    assert len(batch["clicked_vector"].values) > 32
    assert {tuple(one) for one in batch["clicked_vector"].values.numpy()} <= given


def test_served_items_have_the_vectors_that_training_gave_them(
    data: str, trained: Callable[[str, bool], str], version: Path
) -> None:
    towers = restore(trained("dnn", True), data)
    expected = item_vectors(towers, data, ITEMS, 1 << 20)
    ids = [one.decode() for one in Catalogue(data).item_ids]
    with ServedModel(str(version / "1"), False) as model:
        assert [one.size for one in model.signatures["embed_item"].inputs["vector"].tensor_shape.dim] == [-1, WIDTH]
        inputs = _inputs([one for item_id in ids for one in records() if one["item_id"] == item_id])
        np.testing.assert_allclose(model.call("embed_item", inputs)["embedding"], expected, atol=1e-5)
        found = model.call("serving_default", {"query": np.array([b"topic2"], object)})["item_ids"][0]
        assert np.mean([topic_of(one.decode()) == 2 for one in found]) > 0.9


def _inputs(items: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    names = ("item_id", "title", "brand", "shop", "category_leaf", "category_top")
    inputs = {name: np.array([one.get(name, "").encode() for one in items], object) for name in names}
    return inputs | {"vector": np.array([one.get("vector", [0.0] * WIDTH) for one in items], np.float32)}


def test_a_fresh_item_comes_with_its_vector(data: str, experiment: str, version: Path, tmp_path: Path) -> None:
    centre = np.mean([one["vector"] for one in records()[:-1] if topic_of(one["item_id"]) == 3], axis=0)
    fresh = [
        {"item_id": "new", "title": "nothing said", "vector": (2 * centre).tolist()},
        {"item_id": "bare", "title": "nothing said"},
    ]
    file = tmp_path / "fresh.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in fresh))
    folder = tmp_path / "retrieval"

    shutil.copytree(version, folder)
    config = load_section(experiment, "serving", ServingConfig)
    assert export(config, None, data, str(folder), fresh=str(file)) == 0
    with ServedModel(str(folder / "2"), False) as model:
        expected = model.call("embed_item", _inputs(fresh))["embedding"]
        queries = np.eye(expected.shape[1], dtype=np.float32)
        scores = model.call("search", {"embedding": queries, "k": np.full(len(queries), ITEMS + 2, np.int32)})
    assert np.linalg.norm(expected[0] - expected[1]) > 1
    for item, vector in zip((b"new", b"bare"), expected, strict=True):
        np.testing.assert_allclose(scores["scores"][scores["item_ids"] == item], vector, atol=1e-5)
    file.write_text(json.dumps({"item_id": "new", "title": "x", "vector": [1.0]}) + "\n")
    with pytest.raises(UserError, match="line 1 is no catalogue record: bad vector"):
        export(config, None, data, str(folder), fresh=str(file))


def test_batches_and_refreshes_embed_again_what_has_another_vector(
    data: str, experiment: str, trained: Callable[[str, bool], str], tmp_path: Path
) -> None:
    job = trained("dnn", True)
    config = load_section(experiment, "serving", ServingConfig)
    models = str(tmp_path / "models")
    assert refresh(config, job, data, models) == 0
    ids = [one.decode() for one in Catalogue(data).item_ids]
    expected = dict(zip(ids, item_vectors(restore(job, data), data, ITEMS, 1 << 20), strict=True))
    output = Path(f"{models}-vectors")
    kept = vectors_by_id(output)
    assert set(kept) == set(ids)
    for item_id, vector in kept.items():
        np.testing.assert_allclose(vector, expected[item_id], atol=1e-5)
    changed = [one | ({"vector": [1.0] * WIDTH} if one["item_id"] == "item7" else {}) for one in records()]
    file = tmp_path / "catalog.jsonl"
    file.write_text("".join(json.dumps(one) + "\n" for one in changed))
    outcome = run_batch(embedding(job, output), find(str(file)))
    assert outcome.manifest["counts"]["computed"] == 1
    again = vectors_by_id(output)
    assert {one for one in ids if np.abs(again[one] - kept[one]).max() > 1e-3} == {"item7"}


def test_data_without_vectors_is_told(
    data: str, experiment: str, trained: Callable[[str, bool], str], tmp_path: Path
) -> None:
    write_topics(tmp_path / "raw")
    sets = ["preprocessing.input.catalog.vector_width=null"]
    bare = str(tmp_path / "data")
    run(load_section(experiment, "preprocessing", PreprocessingConfig, sets), str(tmp_path / "raw"), bare, ())
    assert json.loads(Path(bare, "spec.json").read_text())["vector_width"] == 0
    config = load_section(experiment, "serving", ServingConfig)
    for write in (export, refresh):
        with pytest.raises(UserError, match=f"its items have no vectors, but the towers read {WIDTH}"):
            write(config, trained("dnn", True), bare, str(tmp_path / "models"))
    with pytest.raises(UserError, match=r"has no clicked_vector, .*; preprocessing\.input\.catalog\.vector_width"):
        sets = ["trainer.model=dnn", "trainer.dnn.vector=true"]
        train(load_section(experiment, "trainer", TrainerConfig, sets), bare, str(tmp_path / "job"))
