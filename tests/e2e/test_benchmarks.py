"""How the proofs on real data count, by hand."""

from __future__ import annotations

import gzip
import json
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import index_subjects, judged, large_log, movielens, shuffle_traffic, stage_costs
from benchmarks.ablation import side_by_side
from benchmarks.ablation_rows import ROWS, Row
from benchmarks.claims import BM25, CLAIMS, claims_table, rivals
from benchmarks.made_items import ids_alone
from preprocessing.adapters.movielens import TEST_AT
from preprocessing.adapters.raw_folder import ACTIONS, SEARCHES
from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section
from tests.e2e.market import ROOT
from trainer.config import TrainerConfig


def test_a_film_counts_by_its_place_and_without_seen_by_its_place_among_the_others() -> None:
    ranked = np.arange(300)[None].repeat(4, axis=0)
    targets = np.array([99, 100, 100, -1])
    assert movielens.hits(ranked, targets, None).tolist() == [1, 0, 0, 0]
    assert movielens.hits(ranked, targets, [set(), set(), {7}, {7}]).tolist() == [1, 0, 1, 0]


def test_training_ratings_are_spread_before_the_test_and_test_ratings_stay(tmp_path: Path) -> None:
    times = [TEST_AT - 7, TEST_AT - 6, TEST_AT - 5, TEST_AT]
    adapted, raw = tmp_path / "adapted", tmp_path / "raw"
    adapted.mkdir()
    lines = [{"request_id": str(n), "user_id": "u", "ts": ts} for n, ts in enumerate(times)]
    for name in (SEARCHES, ACTIONS):
        with gzip.open(adapted / name, "wt") as file:
            file.write("".join(json.dumps(line) + "\n" for line in lines))
    movielens.spread(adapted, raw, seed=1)
    found = movielens._lines(raw / SEARCHES)
    assert found == movielens._lines(raw / ACTIONS)
    spread = sorted(one["ts"] for one in found[:3])
    assert len(set(spread)) == 3
    assert spread[0] > TEST_AT - 29 * 86_400_000
    assert spread[-1] == TEST_AT - 3_600_000
    assert found[3] == lines[3]


def test_recall_of_a_query_is_the_share_of_its_items_within_k() -> None:
    rows = np.concatenate([np.arange(100, 110), np.arange(10)])[None]
    assert judged.recall(rows, [np.array([100, 109, 0, 55])])[0].tolist() == pytest.approx([0.5, 0.75, 0.75])


def test_recall_of_an_index_counts_made_items_by_their_rows() -> None:
    ids, found, truth = ids_alone(10).ids, np.array([[2, 1], [3, 9]]), np.array([[1, 2], [3, 4]])
    assert index_subjects.recall(lambda _: ids[found], np.zeros([2, 3]), truth) == 0.75
    assert index_subjects.recall(lambda _: found, np.zeros([2, 3]), truth) == 0.75


def test_many_partitions_shuffle_what_few_do_in_batches_no_smaller(tmp_path: Path) -> None:
    large_log.make(tmp_path, 3_000, items=200)
    found = shuffle_traffic.compare(tmp_path, 400)
    few, many = (found[name]["streams"] for name in ("few", "many"))
    assert {name: one["records"] for name, one in few.items()} == {name: one["records"] for name, one in many.items()}
    for name in ("searches", "actions", "catalog"):
        assert many[name]["elements"] == few[name]["elements"]
    assert found["many"]["partitions"]["users"] == 400 and found["bytes_many_over_few"] < 2


def test_each_step_costs_what_all_of_it_takes() -> None:
    assert stage_costs._step("MakeExamples/Parse searches/ParDo(ParseRecords)") == "Parse searches"
    assert stage_costs._step("WriteDataFolder/Write shards") == "Write shards"
    assert stage_costs._step("Read searches/ReadBlocks/Spans") == "Read searches"


_JUDGED = [
    "tfrs",
    *(f"{one}{more}" for one in ("dnn", "mgdspr", "mmse") for more in ("", "+wordllama", "+wide+labels")),
]


@pytest.mark.parametrize("name", _JUDGED)
def test_a_row_of_rated_queries_is_the_first_days_config_and_what_it_names(name: str) -> None:
    keys = [f"trainer.{key}" for key in judged.Row.checked(name).keys]
    first_day = str(ROOT / judged.CONFIG)
    config = load_section(first_day, "trainer", TrainerConfig, keys)
    assert config.model == name.split("+")[0]
    assert (config.word_table.vectors == "wordllama") == ("wordllama" in name)
    assert (config.data.catalog_requests == 0) == ("labels" in name)


@pytest.mark.parametrize(
    ("flag", "told"),
    [
        (("--rows", "mgdspr+wordlama"), "unknown 'wordlama'; did you mean 'wordllama'"),
        (("--rows", "mgspr"), "unknown 'mgspr'; did you mean 'mgdspr'"),
        (("--seeds", "17;18"), "--seeds '17;18': whole numbers with commas"),
        (("--folds", "0,5"), "with --test-share 0.2 there are 0 to 4"),
        (("--test-share", "0.7"), "--test-share 0.7: above 0, and at most 0.5"),
        (("--steps", "0"), "--steps 0: at least 1"),
    ],
)
def test_a_mistake_in_asking_rated_queries_is_told(flag: tuple[str, str], told: str, tmp_path: Path) -> None:
    for name in ("catalog.jsonl.gz", "judgments.jsonl"):
        (tmp_path / name).touch()
    with pytest.raises(UserError, match=told):
        judged.arguments(["--data", str(tmp_path), *flag])


def test_seeds_are_averaged_and_folds_put_together() -> None:
    def asked(words: float, vectors: float) -> dict[str, Any]:
        recalls = {"BM25": words, "BM25 with descriptions": 0.75, "words": words, "vectors": vectors, "served": 1.0}
        return {"recalls": {name: [[one, one, one]] for name, one in recalls.items()}}

    lines = judged.together({"mmse": [[asked(0.5, 0.2), asked(0.5, 0.4)], [asked(0.1, 0.6), asked(0.1, 1.0)]]})
    assert list(lines) == ["BM25", "BM25 with descriptions", "words", "mmse", "mmse, served"]
    assert lines["mmse"] == pytest.approx(np.array([[0.3] * 3, [0.8] * 3]))
    assert lines["BM25"].tolist() == [[0.5] * 3, [0.1] * 3]
    found = judged.figures(["a", "b"], lines, seed=17)
    assert found["minus"]["BM25"]["mmse"]["recall@10"]["mean"] == pytest.approx((-0.2 + 0.7) / 2)
    assert found["minus"]["BM25 with descriptions"]["BM25"]["recall@10"]["mean"] == pytest.approx((-0.25 - 0.65) / 2)


@pytest.mark.parametrize("row", [row for row in ROWS if row.overrides], ids=lambda row: row.name)
def test_a_row_of_the_ablation_changes_its_config(row: Row) -> None:
    path = str(ROOT / "configs" / f"{row.config}.yaml")
    whole = load_section(path, "trainer", TrainerConfig)
    less = load_section(path, "trainer", TrainerConfig, [f"trainer.{one}" for one in row.overrides])
    assert less != whole and len({other.name for other in ROWS}) == len(ROWS)


def test_claims_are_about_rows_of_the_ablation_that_have_every_seed() -> None:
    main = {row.name for row in ROWS if row.main}
    assert {name for claim in CLAIMS for name in (claim.whole, *rivals(claim.whole))} <= main
    assert all(claim.less == BM25 or claim.less in rivals(claim.whole) for claim in CLAIMS)


@pytest.mark.parametrize(
    "low, high, said", [(0.01, 0.02, "comes out"), (-0.02, -0.01, "does not"), (-0.01, 0.01, "cannot be told")]
)
def test_an_interval_decides_a_claim(low: float, high: float, said: str) -> None:
    difference = {"mean": (low + high) / 2, "low": low, "high": high}
    found: dict[str, Any] = {claim.whole: {"models": {}, "job_minus": {}} for claim in CLAIMS}
    for claim in CLAIMS:
        one = found[claim.whole]
        one["job_minus"].setdefault(claim.less, {}).update(dict.fromkeys(claim.figures, difference))
        one["models"].setdefault(claim.less, {}).update({figure: {"mean": 0.2} for figure in claim.figures})
    table = list(claims_table(found, {row.name: row.says for row in ROWS}))
    ends = sum(line.endswith(f"| {difference['mean'] / 0.2:+.1%} | {said} |") for line in table)
    assert ends == sum(len(claim.figures) for claim in CLAIMS)


def test_rows_train_side_by_side_on_cores_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[int, set[int]] = {}
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})
    monkeypatch.setattr(os, "sched_setaffinity", lambda _, cores: kept.update({threading.get_ident(): cores}))
    both = threading.Barrier(2, timeout=60)

    def train(row: Row) -> float:
        both.wait()  # nobody goes on alone
        return float(len(row.name))

    assert side_by_side(ROWS[:6], 2, train) == {row.name: len(row.name) for row in ROWS[:6]}
    assert sorted(map(sorted, kept.values())) == [[0, 2], [1, 3]]


def test_after_a_training_that_fails_none_is_begun() -> None:
    begun = []

    def train(row: Row) -> float:
        begun.append(row.name)
        raise SystemExit(2)

    with pytest.raises(SystemExit):
        side_by_side(ROWS, 1, train)
    assert begun == [ROWS[0].name]
