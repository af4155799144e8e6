"""A small market, towers trained on it, and its catalogue exported with every kind of index."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.experiment import load_section
from serving.config import ServingConfig
from serving.graph.saved_model import ServedModel
from serving.inputs import FILTER_LISTS, PRICE_RANGE, VECTOR_LISTS
from tests.made_once import MadeOnce
from tests.serving.experiment import ROOT, train_job, write_experiment

KINDS = ("brute_force", "portable", "scann")


@pytest.fixture(scope="session")
def data(market: Path) -> str:
    """Records of a market of 400 items."""
    return str(market / "data")


@pytest.fixture(scope="session")
def config_file(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The small experiment's YAML."""
    return write_experiment(tmp_path_factory.mktemp("config"))


@pytest.fixture(scope="session")
def job(data: str, config_file: str, made_once: MadeOnce) -> str:
    """A trained job."""
    return str(made_once("job", lambda folder: train_job(config_file, data, folder)))


@pytest.fixture(scope="session")
def config(config_file: str) -> Callable[..., ServingConfig]:
    """`config("index=portable")`: the small experiment, overridden."""
    return lambda *sets: load_section(config_file, "serving", ServingConfig, [f"serving.{one}" for one in sets])


@pytest.fixture(scope="session")
def exported(data: str, job: str, config: Callable[..., ServingConfig], made_once: MadeOnce) -> Callable[[str], Path]:
    """`exported("portable")`: a model folder with version 1; each kind is exported once."""
    from serving.export import export

    def make(kind: str, folder: Path) -> None:
        assert export(config(f"index={kind}"), job, data, str(folder / "retrieval")) == 0

    return lambda kind: made_once(f"models-{kind}", lambda folder: make(kind, folder)) / "retrieval"


@pytest.fixture(scope="session")
def exported_shards(data: str, job: str, config: Callable[..., ServingConfig], made_once: MadeOnce) -> Path:
    """The same catalogue in two shards of exact search."""
    from serving.export import export

    def make(folder: Path) -> None:
        assert export(config("index=brute_force"), job, data, str(folder / "retrieval"), shards=2) == 0

    return made_once("shards", make) / "retrieval"


@pytest.fixture(scope="session", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of index."""
    return request.param


@pytest.fixture(scope="session")
def opened(exported: Callable[[str], Path]) -> Callable[[str], Client]:
    """`opened("portable")`: its version 1, loaded once."""
    clients: dict[str, Client] = {}
    return lambda kind: clients.setdefault(kind, Client(exported(kind), 1))


@pytest.fixture(scope="session")
def client(kind: str, opened: Callable[[str], Client]) -> Client:
    """Version 1 of each kind."""
    return opened(kind)


class Client:
    """Calls a version as a client would: lists padded to their widths."""

    def __init__(self, folder: Path, version: int) -> None:
        self.manifest = json.loads((folder / f"manifest-{version}.json").read_text())
        self.widths = self.manifest["widths"]
        self.path = folder / str(version)
        self.model = ServedModel(str(self.path), self.manifest["index"]["kind"] == "scann")

    def lists(self, names: tuple[str, ...], requests: list[dict[str, Any]]) -> dict[str, np.ndarray]:
        """Object arrays `[B, width]` of lists of strings."""
        found = {}
        for name in names:
            found[name] = np.full((len(requests), self.widths[name]), b"", object)
            for row, request in enumerate(requests):
                for place, value in enumerate(request.get(name, ())):
                    found[name][row, place] = value if isinstance(value, bytes) else value.encode()
        return found

    def retrieve(self, *requests: dict[str, Any]) -> dict[str, np.ndarray]:
        """`retrieve({"query": "shoes", "k": 3, "required_terms": ["red"]}, ...)`."""
        inputs = {"query": np.array([one.get("query", "").encode() for one in requests], object)}
        inputs["k"] = np.array([one.get("k", 10) for one in requests], np.int32)
        inputs |= self.lists(VECTOR_LISTS, list(requests)) | self.conditions(*requests)
        return self.model.call("retrieve", inputs)

    def conditions(self, *requests: dict[str, Any]) -> dict[str, np.ndarray]:
        """The conditions of requests."""
        ranges = [one.get(PRICE_RANGE, (np.nan, np.nan)) for one in requests]
        return self.lists(FILTER_LISTS, list(requests)) | {PRICE_RANGE: np.array(ranges, np.float32)}

    def embed(self, *requests: dict[str, Any]) -> np.ndarray:
        """The vectors of requests."""
        inputs = {"query": np.array([one.get("query", "").encode() for one in requests], object)}
        return self.model.call("embed_query", inputs | self.lists(VECTOR_LISTS, list(requests)))["embedding"]

    def search(self, embeddings: np.ndarray, *k: int) -> dict[str, np.ndarray]:
        """The signature `search`."""
        return self.model.call("search", {"embedding": embeddings.astype(np.float32), "k": np.array(k, np.int32)})


def command(*arguments: str, **environment: str) -> subprocess.Popen[str]:
    """Starts `python -m serving.export` as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "serving.export", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
