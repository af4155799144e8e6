"""Evaluation against plain counting, and the command on real jobs."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from tests.trainer.conftest import ROOT, flags, write_config
from trainer import task
from trainer.data.dataset import catalog, requests
from trainer.evaluate import arguments, depths, evaluate, main
from trainer.evaluation import metrics
from trainer.evaluation.bm25 import Bm25
from trainer.evaluation.bootstrap import Bootstrap
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.encode_requests import encode_queries
from trainer.evaluation.eval_requests import EvalRequests, Lists
from trainer.evaluation.exact_top_k import Ranking, exact_top_k
from trainer.evaluation.judgments import Judgments, p_good
from trainer.evaluation.rank_fusion import fused
from trainer.job.restore import restore

NAN = math.nan


def lists(*parts: list) -> Lists:
    return Lists(np.array([one for part in parts for one in part]), np.cumsum([0, *map(len, parts)]))


@given(st.data())
def test_recall_and_ndcg_are_what_counting_gives(data: st.DataObject) -> None:
    k, depth, items = data.draw(st.integers(1, 6)), 6, 12
    requests = data.draw(st.integers(1, 4))
    rows = np.array([data.draw(st.permutations(range(items)))[:depth] for _ in range(requests)])
    wanted = [data.draw(st.lists(st.integers(-1, items - 1), unique=True, max_size=5)) for _ in range(requests)]
    targets = lists(*wanted)
    targets = Lists(targets.values.astype(np.int64), targets.splits)
    owners, ranks = metrics.hits(rows, targets)
    recall = metrics.recall(ranks, owners, targets.values >= 0, requests, k)
    ndcg = metrics.ndcg(ranks, owners, targets.values >= 0, requests, k)
    for request, mine in enumerate(wanted):
        live = [one for one in mine if one >= 0]
        if not live:
            assert math.isnan(recall[request]) and math.isnan(ndcg[request])
            continue
        found = [place for place, row in enumerate(rows[request][:k]) if row in live]
        assert recall[request] == pytest.approx(len(found) / len(live))
        ideal = sum(1 / math.log2(place + 2) for place in range(min(k, len(live))))
        assert ndcg[request] == pytest.approx(sum(1 / math.log2(place + 2) for place in found) / ideal)


def test_pairs_in_order() -> None:
    stages = {"ordered": lists([1], []), "clicked": lists([2, 3], [4]), "shown": lists([5], [6])}
    scores = {"ordered": np.array([2.0]), "clicked": np.array([1.0, 2.0, 5.0]), "shown": np.array([1.5, NAN])}
    found = metrics.pairwise_accuracy(stages, scores, 2)
    # request 0: ordered 2.0 beats 1.0 and ties with 2.0; beats shown 1.5; of the clicked one of two beats 1.5
    assert found["ordered>clicked"][0] == 0.75
    assert found["ordered>shown"][0] == 1.0
    assert found["clicked>shown"][0] == 0.5
    assert all(math.isnan(values[1]) for values in found.values())  # nothing ordered, and what was shown is gone


def test_coverage_and_popularity() -> None:
    rows = np.array([[0, 1, -1], [1, 2, 3]])
    assert metrics.coverage(rows, 8, 2) == pytest.approx(3 / 8)
    # counts 0, 0, 4, 9: the two unseen share the percentile 1/4, the others have 2.5/4 and 3.5/4
    assert metrics.popularity(rows, np.array([0, 0, 4, 9]), 3) == pytest.approx([0.25, (0.25 + 0.625 + 0.875) / 3])


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 7), st.integers(1, 40), st.integers(1, 30), st.integers(1, 9), st.integers(0, 2**31))
def test_blocks_give_the_exact_best(queries: int, items: int, k: int, block: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    asked = random.normal(size=[queries, 4]).astype(np.float32)
    vectors = random.normal(size=[items, 4]).astype(np.float32)
    found = exact_top_k(asked, vectors, k, memory=1, block=block)  # one request at a time
    assert found.rows.shape == (queries, k)
    for query, rows, scores in zip(asked, found.rows, found.scores, strict=True):
        exact = vectors @ query
        there = rows >= 0
        assert there.sum() == min(k, items) and len(set(rows[there])) == there.sum()
        assert exact[rows[there]] == pytest.approx(np.sort(exact)[::-1][: there.sum()], abs=1e-5)
        assert scores[there] == pytest.approx(exact[rows[there]], abs=1e-5) and np.isneginf(scores[~there]).all()


def test_reciprocal_ranks() -> None:
    one = Ranking(np.array([[5, 7, -1]], np.int32), np.zeros([1, 3], np.float32))
    other = Ranking(np.array([[7, 9, 5]], np.int32), np.zeros([1, 3], np.float32))
    both = fused(one, other)
    # 7: 1/62 + 1/61; 5: 1/61 + 1/63; 9: 1/62
    assert both.rows.tolist() == [[7, 5, 9]]
    assert both.scores[0] == pytest.approx([1 / 62 + 1 / 61, 1 / 61 + 1 / 63, 1 / 62])


def test_intervals_resample_users() -> None:
    random = np.random.default_rng(3)
    users = np.repeat(np.arange(200), 5)
    values = np.repeat(random.normal(size=200), 5)  # one user's requests are all alike: 200 facts, not 1000
    bootstrap = Bootstrap(users, seed=1)
    found, alone = bootstrap.estimate(values), Bootstrap(np.arange(1000), seed=1).estimate(values)
    assert found is not None and alone is not None
    assert found.mean == pytest.approx(values.mean()) and found.low < found.mean < found.high
    assert (found.high - found.low) / (alone.high - alone.low) == pytest.approx(5**0.5, rel=0.2)
    assert Bootstrap(users, seed=1).estimate(values) == found
    assert bootstrap.estimate(np.full(1000, NAN)) is None
    shifted = bootstrap.estimate((values + 0.01) - values)
    assert shifted is not None and shifted.excludes_zero and shifted.low == pytest.approx(0.01)


def test_bm25_finds_the_words(data: str) -> None:
    catalogue = Catalogue(data)
    eval_requests = EvalRequests(data, catalogue, None)
    index = Bm25(catalogue)
    title = catalogue.titles[7]
    found = index.search([title, b"", b"qqqzzz"], 5)
    assert catalogue.titles[found.rows[0, 0]] == title and (np.diff(found.scores[0]) <= 0).all()
    assert (found.rows[1:] == -1).all() and np.isneginf(found.scores[1:]).all()
    ranking, scores = index.rank(eval_requests, 5)
    again = index.search(eval_requests.queries[:3].tolist(), 5)
    assert (ranking.rows[:3] == again.rows).all()
    shown, place = eval_requests.stages["shown"], 0
    for row, score in zip(shown.of(place), scores["shown"][: shown.splits[1]], strict=True):
        if row in ranking.rows[place]:
            assert score == pytest.approx(ranking.scores[place][ranking.rows[place] == row][0])


def test_judgments(data: str, tmp_path: Path) -> None:
    catalogue = Catalogue(data)
    first, second, third = (one.decode() for one in catalogue.item_ids[:3])
    path = tmp_path / "judgments.jsonl"
    graded = [("a", first, 3), ("a", second, 1), ("b", third, 2), ("b", "gone", 3), ("c", first, 0)]
    path.write_text("".join(json.dumps({"query": q, "item_id": i, "grade": g}) + "\n" for q, i, g in graded))
    judgments = Judgments(str(path), catalogue)
    assert judgments.queries == [b"a", b"b"]  # nothing is relevant to c
    queries = np.array([b"a", b"x", b"a"], object)
    rows = np.array([[0, 1], [5, 6], [1, 7]])
    assert judgments.asked_by(queries)[1] == [1]
    found = p_good(judgments, queries, rows, np.array([[2, -1]]), 2)
    assert found.tolist() == [0.25, 0.5]
    path.write_text('{"query": "a", "item_id": "x"}\n')
    with pytest.raises(UserError, match="line 1: KeyError"):
        Judgments(str(path), catalogue)
    with pytest.raises(UserError, match="no such file"):
        Judgments(str(tmp_path / "none"), catalogue)


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
                 "--fuse", "bm25", "--memory-mb", "64"]) == 0  # fmt: skip
    shown = capsys.readouterr().out
    found = json.loads(Path(job, "metrics.json").read_text())
    assert list(found["models"]) == ["BM25", "mgdspr", "dnn", "mgdspr + BM25"]
    assert "recall@20/ordered" in shown and "minus dnn" in shown
    for model, figures in found["models"].items():
        if model != "BM25":  # there are 400 items: all are found
            assert figures["recall@1000/clicked"]["mean"] == 1.0
        assert 0 <= figures["p_good@20"]["low"] <= figures["p_good@20"]["high"] <= 1
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
    served = tf.saved_model.load(f"{jobs[0]}/towers/query").signatures["serving_default"]
    _, named = served.structured_input_signature
    inputs = {name: tf.fill([2, 0], "") for name in named}
    same = served(**(inputs | {"query": tf.constant(["red shoes", ""])}))["embedding"]
    assert found == pytest.approx(same.numpy(), abs=1e-5)


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
