"""Channels are weighed by validation requests, and a version answers by the weights that evaluation reports on."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from preprocessing.words.channel_fusion import VECTOR
from preprocessing.words.choose_fusion import DEPTHS
from serving.catalogue.data_records import held_out_requests
from serving.config import ServingConfig
from serving.export import export
from serving.release.acceptance import call_with, retrieve_inputs
from serving.release.channel_weights import exact_found
from tests.serving.conftest import Client
from tests.serving.experiment import TRAINER, train_job, write_experiment
from trainer.evaluate import arguments, evaluate
from trainer.evaluation import metrics
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.eval_requests import POSITIVE_STAGES, EvalRequests


def test_evaluation_chooses_and_reports_what_a_version_answers_by(
    data: str, config: Callable[..., ServingConfig], tmp_path: Path
) -> None:
    """Of towers without a past: records do not name its rare items, which evaluation reads and an export leaves out."""
    folder, dnn = tmp_path / "retrieval", TRAINER["dnn"] | {"behaviours": False}
    job = train_job(write_experiment(tmp_path, dnn=dnn), data, tmp_path / "job")
    assert export(config("index=brute_force", "channels.words.on=true"), job, data, str(folder)) == 0
    version = Client(folder, 1)
    found = evaluate(arguments(["--data", data, "--job-dir", job, "--k", "10,100,1000", "--fuse", "words"]))
    [chosen] = json.loads(json.dumps(found["channels"]))
    assert chosen == version.manifest["channels"]
    assert chosen["requests"] > 20 and set(chosen["recall"]) == {"vector", "words", "fused"}
    served = _recalls(version, data)
    reported = found["models"][f"{Path(job).name} + words"]
    assert served == {name: pytest.approx(reported[name]["mean"], abs=1e-4) for name in served}


def _recalls(version: Client, data: str) -> dict[str, float]:
    """What `retrieve` finds for the eval requests, by evaluation's names."""
    requests = held_out_requests(data, "eval", 10_000, version.widths)
    answered = [
        call_with(version.model, "retrieve", retrieve_inputs(batch, version.widths, DEPTHS[-1]))["item_ids"]
        for batch in requests.batches(64)
    ]
    catalogue = Catalogue(data)
    asked, rows = (
        EvalRequests(data, catalogue, None),
        np.stack([catalogue.rows(one) for one in np.concatenate(answered)]),
    )
    assert asked.queries.tolist() == requests.inputs["query"].tolist() and rows.shape[1] == DEPTHS[-1]
    found = {}
    for stage in POSITIVE_STAGES:
        wanted = asked.stages[stage]
        owners, ranks = metrics.hits(rows, wanted)
        for k in DEPTHS:
            shares = metrics.recall(ranks, owners, wanted.values >= 0, len(asked), k)
            found[f"recall@{k}/{stage}"] = float(np.nanmean(shares))
    return found


def test_a_channel_that_is_off_is_not_weighed(opened: Callable[[str], Client]) -> None:
    version = opened("brute_force")
    channels = version.manifest["channels"]
    assert channels["chosen_on"] == "config" and channels["weights"] == [{"vector": 1.0, "words": 0.0}]
    answer = version.model.call("serving_default", {"query": np.array([b"red shoes"], object)})
    assert set(answer["channels"][0].tolist()) == {VECTOR}


def test_exact_lists_have_their_scores() -> None:
    random = np.random.default_rng(3)
    vectors, queries = (random.normal(size=(count, 8)).astype(np.float32) for count in (300, 70))
    found = exact_found(vectors, queries, 20)
    products = queries @ vectors.T
    assert np.allclose(found.scores, -np.sort(-products, axis=1)[:, :20], atol=1e-5)
    assert np.allclose(np.take_along_axis(products, found.rows, axis=1), found.scores, atol=1e-5)
