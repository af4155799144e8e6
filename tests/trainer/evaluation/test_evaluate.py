"""python -m trainer.evaluate on real jobs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.text.vocabulary_files import Vocabularies
from tests.trainer.conftest import ROOT, flags, write_config
from trainer import task
from trainer.data.dataset import catalog, requests
from trainer.evaluate import arguments, depths, evaluate, main
from trainer.evaluation.encode_requests import encode_queries
from trainer.job.restore import restore


@pytest.fixture(scope="module")
def jobs(data: str, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Two trained jobs."""
    folder = tmp_path_factory.mktemp("jobs")
    for model in ("mgdspr", "dnn"):
        settings_path = write_config(folder, model=model)
        task.main(list(flags(settings_path, data, folder / model)))
    return str(folder / "mgdspr"), str(folder / "dnn")


def test_the_whole_command(data: str, jobs: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    job, other = jobs
    truth = str(Path(data).parent / "raw/truth/judgments.jsonl.gz")
    assert main(["--data", data, "--job-dir", job, "--compare", other, "--k", "5,20,1000", "--judgments", truth,
                 "--fuse", "words", "--memory-mb", "64"]) == 0  # fmt: skip
    shown = capsys.readouterr().out
    found = json.loads(Path(job, "metrics.json").read_text())
    assert list(found["models"]) == ["BM25", "similar past queries", "mgdspr", "dnn", "words", "mgdspr + words"]
    assert "recall@20/ordered" in shown and "mgdspr minus each other, paired" in shown
    assert "ndcg@5/ordered" in shown and "recall@5/clicked/head" in shown and "popularity@5" in shown
    assert "ndcg@20/ordered" not in shown and "recall@20/clicked/head" not in shown
    for model, figures in found["models"].items():
        if model in ("mgdspr", "dnn"):  # there are 400 items: all are found
            assert figures["recall@1000/clicked"]["mean"] == 1.0
        assert 0 <= figures["p_good@20"]["low"] <= figures["p_good@20"]["high"] <= 1
        assert figures["p_good@20"]["mean"] <= figures["p_good_share@20"]["mean"] <= 1
    for figure, one in found["job_minus"]["dnn"].items():
        ours, theirs = (found["models"][name][figure]["mean"] for name in ("mgdspr", "dnn"))
        assert one["mean"] == pytest.approx(ours - theirs, abs=2e-5)
    assert found["models"]["mgdspr"]["recall@5/clicked"]["mean"] == pytest.approx(_by_hand(job, data, 5), abs=1e-5)
    report = Path(job, "report.html").read_text()
    assert report.count("<h3>") == 20 and report.count("<svg") >= 6
    assert "src=" not in report and "<link" not in report  # one file, nothing fetched


def _by_hand(job: str, data: str, k: int) -> float:
    """Recall of clicked items, one request at a time."""
    towers = restore(job, data)
    items = next(iter(catalog(data, 10_000)))
    vectors = towers.item({name: items[name] for name in towers.item_columns}).numpy()
    ids = items["item_id"].numpy()
    shares = []
    for request in requests(data, "eval", 1):
        query = towers.query({name: request[name] for name in towers.request_columns}).numpy()[0]
        best = set(ids[np.argsort(-(vectors @ query), kind="stable")[:k]])
        live = [one for one in request["clicked_item_id"].values.numpy() if one in set(ids)]
        if live:
            shares.append(sum(one in best for one in live) / len(live))
    return float(np.mean(shares))


def test_nobodys_queries_are_requests_without_a_past(data: str, jobs: tuple[str, str]) -> None:
    towers = restore(jobs[0], data)
    found = encode_queries(towers, data, ["red shoes", ""])
    loaded = tf.saved_model.load(f"{jobs[0]}/towers/query")
    served = loaded.signatures["embed_query_alone"]
    encoding = json.loads(Path(jobs[0], "towers/encoding.json").read_text())
    vocabularies = Vocabularies(f"{jobs[0]}/towers/vocab", encoding, encoding["vocabularies"])
    grains = [name.removeprefix("query_") for name in served.structured_input_signature[1]]
    ids = vocabularies.encoded(tf.constant(["red shoes", ""]), grains)
    same = served(**{f"query_{name}": one for name, one in ids.items()})["embedding"]
    assert found == pytest.approx(same.numpy(), abs=1e-5)


def test_emptying_the_past_changes_what_reads_it_and_nothing_else(data: str, jobs: tuple[str, str]) -> None:
    for job, reads_it in zip(jobs, (True, False), strict=True):  # the small dnn has words alone
        flags_given = ["--data", data, "--job-dir", job, "--k", "5", "--limit", "60", "--without-past"]
        found = evaluate(arguments(flags_given))
        name = Path(job).name
        with_past, without = (found["models"][one] for one in (name, f"{name} without the past"))
        same = (
            with_past["coverage@5"] == without["coverage@5"]
            and with_past["ndcg@5/clicked"] == without["ndcg@5/clicked"]
        )
        assert same is not reads_it


def test_a_limit_takes_the_first_requests(data: str, jobs: tuple[str, str]) -> None:
    found = evaluate(arguments(["--data", data, "--job-dir", jobs[1], "--k", "5", "--limit", "7"]))
    assert found["requests"] == 7


def test_mistakes(data: str, jobs: tuple[str, str], tmp_path: Path) -> None:
    assert depths("100,10") == [10, 100]
    for wrong in ("", "0", "ten"):
        with pytest.raises(UserError, match="whole numbers"):
            depths(wrong)
    with pytest.raises(UserError, match=r"no checkpoint in it yet"):
        main(["--data", data, "--job-dir", str(tmp_path)])
    with pytest.raises(UserError, match="at least 64"):
        main(["--data", data, "--job-dir", jobs[0], "--memory-mb", "1"])
    with pytest.raises(UserError, match="no _SUCCESS"):
        main(["--data", str(ROOT), "--job-dir", jobs[0]])
