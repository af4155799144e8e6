"""The gate: what it sees, what it turns down, and by which version in place it judges."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from serving.catalogue.data_records import held_out_requests
from serving.config import ServingConfig
from serving.export import export
from serving.release.acceptance import ExactAnswers, Judge
from serving.release.versions import ModelFolder
from tests.serving.conftest import Client
from tests.serving.release.conftest import tree
from trainer.data.dataset import requests

Config = Callable[..., ServingConfig]


def test_the_gate(opened: Callable[[str], Client], data: str, config: Config) -> None:
    client = opened("brute_force")
    requests = held_out_requests(data, "validation", 4, client.widths)
    queries = client.embed(*({"query": one.decode()} for one in requests.inputs["query"]))
    judge = Judge(requests, client.widths, config().gate)
    wrong = ExactAnswers(queries, np.full((len(queries), 5), b"another", object), 0.9)
    (reason,) = judge.verdict(str(client.path), False, wrong, []).reasons
    assert reason.startswith("the index finds 0.0000 of the exact answers, 0.0000 at the lower end of the interval; ")
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
