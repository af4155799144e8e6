"""A shop on its first day: from a catalogue alone, without a search or a click, to a version that finds products."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from benchmarks import judged
from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from preprocessing.joins.ask_items import CATALOGUE_SPLIT
from preprocessing.pipeline import run
from preprocessing.text.item_queries import moments_of
from serving.config import ServingConfig
from serving.export import export
from serving.graph.saved_model import ServedModel
from tests.e2e.market import ROOT
from trainer.config import TrainerConfig
from trainer.data.dataset import catalog, requests
from trainer.data.training_data import TrainingData
from trainer.evaluate import main as evaluate
from trainer.evaluation.catalogue import Catalogue
from trainer.task import train

COLOURS = ("red", "blue", "green", "black", "white", "grey", "brown", "pink")
THINGS = ("lamp", "kettle", "sofa", "bottle", "carpet", "mirror", "backpack", "tripod", "keyboard", "umbrella")
MODELS = ("mgdspr", "mmse", "dnn", "tfrs")
ITEMS = [
    {
        "item_id": f"{thing}-{colour}",
        "title": f"{colour} {thing} model {number}",
        "brand": f"Maker{number % 7}",
        "category_leaf": f"{thing}s",
        "description": f"A fine {thing} for any home.",
    }
    for number, (thing, colour) in enumerate((thing, colour) for thing in THINGS for colour in COLOURS)
]
ITEMS.append({"item_id": "wordless", "title": "--"})
_SMALL: dict[str, Any] = {
    "mgdspr": {"dim": 16, "grains": {"sequence_hidden": 16}},
    "mmse": {"dim": 8, "grains": {"sequence_hidden": 16}},
    "dnn": {"dim": 16, "hidden": [16]},
    "tfrs": {"dim": 16},
    "data": {"batch": 64, "shuffle": 100, "readers": 2, "prefetch": 2},
    "loss": {"catalog_negatives": 64},
    "optimizer": {"warmup_steps": 4, "dense_rate": 0.01},
    "training": {"steps": 80, "steps_per_call": 20, "checkpoint_every_steps": 80},
    "validation": {"every_steps": 80, "requests": 32, "k": 10},
}


def write(folder: Path, **streams: list[dict[str, Any]]) -> Path:
    """A raw folder of these streams."""
    folder.mkdir(parents=True)
    for name, records in streams.items():
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    return folder


def process(raw: Path, data: Path, *sets: str) -> dict[str, Any] | None:
    config = load_section(str(ROOT / "configs" / "first_day.yaml"), "preprocessing", PreprocessingConfig, sets)
    return run(config, str(raw), str(data), ())


def merged(ours: dict[str, Any], theirs: dict[str, Any]) -> dict[str, Any]:
    """The second over the first, key by key."""
    both = {
        name: merged(ours[name], one) if isinstance(one, dict) and name in ours else one for name, one in theirs.items()
    }
    return ours | both


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("shop")
    process(write(folder / "raw", catalog=ITEMS), folder / "data")
    return str(folder / "data")


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The shop's own config, small."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    own = yaml.safe_load((ROOT / "configs" / "first_day.yaml").read_text())
    path.write_text(yaml.safe_dump({"trainer": merged(own["trainer"], _SMALL)}))
    return str(path)


@pytest.fixture(scope="module")
def trained(data: str, experiment: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """A job of each model, trained once."""
    jobs: dict[str, str] = {}

    def of(model: str) -> str:
        if model not in jobs:
            jobs[model] = str(tmp_path_factory.mktemp(model))
            train(load_section(experiment, "trainer", TrainerConfig, [f"trainer.model={model}"]), data, jobs[model])
        return jobs[model]

    return of


def asked(data: str, split: str) -> dict[str, str]:
    """The query that each item of a split is asked for by."""
    columns = ["user_id", "query", "clicked_item_id", "ordered_item_id", "shown_item_id", "clicked_position"]
    found = {}
    for batch in requests(data, split, 1000, columns):
        assert set(batch["user_id"].numpy().tolist()) == {b""}
        assert batch["ordered_item_id"].values.shape[0] == batch["shown_item_id"].values.shape[0] == 0
        assert set(batch["clicked_position"].values.numpy().tolist()) == {0}
        for query, (item,) in zip(batch["query"].numpy().tolist(), batch["clicked_item_id"].to_list(), strict=True):
            found[item.decode()] = query.decode()
    return found


def test_every_item_with_a_word_is_asked_for_once_by_words_of_its_own(data: str) -> None:
    splits = {split: asked(data, split) for split in ("train", "validation", "eval")}
    every = [item for found in splits.values() for item in found]
    assert sorted(every) == sorted(item["item_id"] for item in ITEMS if item["item_id"] != "wordless")
    texts = {
        item["item_id"]: [
            re.findall(r"\w+", text)
            for text in (
                f"{item.get('brand')} {item['title']}",
                item.get("category_leaf", ""),
                item.get("description", ""),
            )
        ]
        for item in ITEMS
    }
    for found in splits.values():
        for item, query in found.items():
            words = query.split()
            assert 1 <= len(words) <= 3
            stretches = [text[at : at + len(words)] for text in texts[item] for at in range(len(text))]
            assert words in stretches, (item, query)
    assert len({len(query.split()) for found in splits.values() for query in found.values()}) == 3
    assert CATALOGUE_SPLIT.eval_share is not None
    assert len(splits["train"]) > 0.7 * len(every)


def test_the_spec_says_where_requests_are_from(data: str) -> None:
    spec = json.loads(Path(data, "spec.json").read_text())
    assert spec["requests_from"] == "catalogue"
    assert spec["items"] == len(ITEMS)


def test_no_item_is_likelier_than_another(data: str) -> None:
    (items,) = catalog(data, 1000)
    np.testing.assert_allclose(items["log_prob"].numpy(), -np.log(len(ITEMS)), rtol=1e-6)


def test_the_seed_and_the_item_decide_the_query_and_the_item_alone_the_split(data: str, tmp_path: Path) -> None:
    again, other, fewer = (tmp_path / name for name in ("again", "other", "fewer"))
    raw = write(tmp_path / "raw", catalog=ITEMS[::-1])
    process(raw, again, "preprocessing.output.partition_mb=1")
    process(raw, other, "preprocessing.seed=3")
    process(write(tmp_path / "half", catalog=ITEMS[::2]), fewer)
    every = {
        name: {split: asked(str(name), split) for split in ("train", "validation", "eval")} for name in (again, other)
    }
    ours = {split: asked(data, split) for split in ("train", "validation", "eval")}
    assert every[again] == ours
    assert {split: set(found) for split, found in every[other].items()} == {
        split: set(one) for split, one in ours.items()
    }
    assert every[other] != ours
    queries = {item: query for found in ours.values() for item, query in found.items()}
    of_half = {
        item: query for split in ("train", "validation", "eval") for item, query in asked(str(fewer), split).items()
    }
    assert of_half.items() <= queries.items()


def test_what_is_asked_in_training_leaves_the_held_out_items_alone(data: str, experiment: str) -> None:
    spec = json.loads(Path(data, "spec.json").read_text())
    config = load_section(experiment, "trainer", TrainerConfig, [])
    names = {"request_id", "query", "clicked_item_id", "ordered_item_id", "clicked_log_prob", "ordered_log_prob"}
    batches = TrainingData(data, config, names, {"log_prob"}).batches()
    wanted = {item for split in ("validation", "eval") for item in asked(data, split)}
    clicked = {one for batch in batches.take(20) for one in batch["requests"]["request_id"].numpy().tolist()}
    named = {one.decode().removeprefix("catalog request for ") for one in clicked}
    keys = _keys_clicked(batches)
    from trainer.data.dataset import key_of

    assert named >= wanted  # they come, and ask for nothing
    assert not keys & set(key_of(sorted(wanted)).numpy().tolist())
    assert keys == set(key_of(sorted(asked(data, "train"))).numpy().tolist())
    assert (moments_of(sorted(wanted)).numpy() >= spec["validation_from_ms"]).all()


def _keys_clicked(batches: Any) -> set[int]:
    return {key for batch in batches.take(40) for key in batch["requests"]["clicked_key"].values.numpy().tolist()}


@pytest.mark.parametrize("model", MODELS)
def test_every_model_learns_from_it_and_is_evaluated(model: str, data: str, trained: Callable[[str], str]) -> None:
    job = trained(model)
    assert evaluate(["--data", data, "--job-dir", job, "--k", "5,10"]) == 0
    metrics = json.loads(Path(job, "metrics.json").read_text())
    assert metrics["requests"] == len(asked(data, "eval"))


@pytest.mark.parametrize("model", ["dnn", "mgdspr"])
def test_the_served_version_finds_products_by_a_word_of_their_titles(
    model: str, data: str, experiment: str, trained: Callable[[str], str], tmp_path: Path
) -> None:
    config = load_section(experiment, "serving", ServingConfig, ["serving.index=brute_force"])
    assert export(config, trained(model), data, str(tmp_path / "models")) == 0
    with ServedModel(str(tmp_path / "models" / "1"), False) as served:
        found = served.call("serving_default", {"query": np.array([thing.encode() for thing in THINGS])})
    rows = judged.served(tmp_path / "models" / "1", [thing.encode() for thing in THINGS], Catalogue(data), 8)
    assert [Catalogue(data).item_ids[one].tolist() for one in rows] == found["item_ids"][:, :8].tolist()
    best = [[item.decode().split("-")[0] for item in row[:8]] for row in found["item_ids"]]
    right = [sum(one == thing for one in row) for thing, row in zip(THINGS, best, strict=True)]
    assert np.mean(right) > 6, dict(zip(THINGS, right, strict=True))  # of 8; by chance 0.8


SEARCH = {"request_id": "r", "ts": 1_700_000_000, "user_id": "u", "query": "lamp", "results": ["lamp-red"]}
ACTION = {"ts": 1_700_000_001, "user_id": "u", "item_id": "lamp-red", "action": "click"}
MISTAKES: dict[str, tuple[dict[str, list[dict[str, Any]]], str]] = {
    "nothing": ({}, r"no file matches .*searches\* or .*actions\*, nor .*catalog\*: neither a log nor a catalogue"),
    "actions alone": ({"actions": [ACTION]}, r"searches: no file matches .*searches\*, though there are actions; add"),
    "no searches": ({"catalog": ITEMS, "actions": [ACTION]}, r"searches: no file matches .*, though there are actions"),
    "no actions": ({"catalog": ITEMS, "searches": [SEARCH]}, r"actions: no file matches .*, though there are searches"),
    "no words": (
        {"catalog": [{"item_id": f"{n}", "title": "-"} for n in range(9)]},
        "catalog: 0 of 9 live items have a word to ask for them by; without searches there must be three",
    ),
    "two products": ({"catalog": ITEMS[:2]}, "catalog: 2 of 2 live items have a word"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_shops_mistake_is_told(mistake: str, tmp_path: Path) -> None:
    streams, message = MISTAKES[mistake]
    with pytest.raises(UserError, match=message) as told:
        process(write(tmp_path / "raw", **streams), tmp_path / "data")
    assert "\n" not in str(told.value)


def test_three_products_are_enough(tmp_path: Path) -> None:
    stats = process(write(tmp_path / "raw", catalog=ITEMS[:3]), tmp_path / "data")
    assert stats is not None and stats["examples"] == {"train": 1, "validation": 1, "eval": 1}


def test_searches_of_a_shop_are_its_requests(tmp_path: Path) -> None:
    days = [SEARCH | {"request_id": f"r{day}", "ts": SEARCH["ts"] + day * 86_400} for day in range(9)]
    clicks = [ACTION | {"ts": one["ts"] + 1, "request_id": one["request_id"]} for one in days]
    process(write(tmp_path / "raw", catalog=ITEMS, searches=days, actions=clicks), tmp_path / "data")
    spec = json.loads((tmp_path / "data" / "spec.json").read_text())
    assert spec["requests_from"] == "log"
    assert sum(spec["examples"].values()) == 9
