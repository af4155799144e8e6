"""The catalogue searched by Beam's workers: what the process itself would find."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from tests.trainer.conftest import flags, write_config
from trainer import task
from trainer.evaluate import arguments, evaluate
from trainer.evaluation import top_k_by_workers
from trainer.evaluation.exact_top_k import Ranking, exact_top_k
from trainer.evaluation.top_k_by_workers import Best, merged


@pytest.fixture(scope="module")
def job(data: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("job")
    task.main(list(flags(write_config(folder, model="dnn"), data, folder / "job", "training.steps=8")))
    return str(folder / "job")


def figures(data: str, job: str, *more: str) -> dict[str, Any]:
    evaluate(arguments(["--data", data, "--job-dir", job, "--k", "5,50,1000", "--without-past", *more]))
    return json.loads(Path(job, "metrics.json").read_text())


def test_the_scorecard_is_that_of_one_process(
    data: str, spec: dict[str, Any], job: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each figure in every digit, of two files of the catalogue and of groups of requests."""
    alone = figures(data, job)
    asked: list[int] = []
    search = top_k_by_workers.top_k_by_workers
    monkeypatch.setattr(top_k_by_workers, "_GROUP", 20)
    monkeypatch.setattr(
        "trainer.evaluation.retrievers.top_k_by_workers",
        lambda queries, *rest: asked.append(len(queries)) or search(queries, *rest),
    )
    assert figures(data, job, "--beam-above", str(spec["items"] - 1)) == alone
    assert len(asked) == 2 and min(asked) > 20, "the job, and the job without the past"
    assert figures(data, job, "--beam-above", str(spec["items"])) == alone and len(asked) == 2
    assert figures(data, job, "--runner=DirectRunner") == alone and len(asked) == 4
    assert not list(Path(job).glob("*.part")), "what passed between the workers is gone"


def test_a_flag_that_nobody_knows(data: str, job: str) -> None:
    with pytest.raises(UserError, match=r"unknown flag --beam-abov"):
        figures(data, job, "--beam-abov", "1")
    with pytest.raises(UserError, match=r"unknown flag --runer; did you mean '--runner'"):
        figures(data, job, "--runer=DirectRunner")


def test_a_search_that_breaks_off(
    data: str, job: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: Any) -> Any:
        raise OSError("the disk is full")

    monkeypatch.setattr(top_k_by_workers, "item_vectors", broken)
    with pytest.raises(SystemExit) as stopped:
        figures(data, job, "--beam-above", "0")
    said = capsys.readouterr().err.splitlines()[-1]
    assert stopped.value.code == 1 and "the search by Beam stopped" in said and "the disk is full" in said
    assert not list(Path(job).glob("*.part"))


@settings(max_examples=40)
@given(
    parts=st.lists(st.integers(1, 12), min_size=1, max_size=5),
    k=st.integers(1, 15),
    scale=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)
def test_parts_of_a_catalogue_merge_to_the_whole(parts: list[int], k: int, scale: int, seed: int) -> None:
    """In whatever order they come, and where many items score alike: of equals the earlier one."""
    random = np.random.default_rng(seed)
    vectors = random.integers(-scale, scale + 1, [sum(parts), 2]).astype(np.float32)
    asked = random.integers(-scale, scale + 1, [4, 2]).astype(np.float32)
    whole, found, first = exact_top_k(asked, vectors, k, 1 << 20), [], 0
    for size in parts:
        one = exact_top_k(asked, vectors[first : first + size], k, 1 << 20)
        found.append(Ranking(np.where(one.rows >= 0, one.rows + first, -1), one.scores))
        first += size
    random.shuffle(found)
    best = Best()
    half = len(found) // 2
    sides = []
    for side in (found[:half], found[half:]):
        summed = best.create_accumulator()
        for one in side:
            summed = best.add_input(summed, one)
        sides.append(summed)
    for ranking in (merged(found), best.extract_output(best.merge_accumulators(sides))):
        there = whole.rows >= 0
        np.testing.assert_array_equal(ranking.rows[there], whole.rows[there])
        np.testing.assert_array_equal(ranking.scores, whole.scores)
