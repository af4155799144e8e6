"""Graded judgments and the share of what is good."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from preprocessing.command.console import UserError
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.judgments import Judgments, p_good, p_good_personal


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
    assert judgments.possible(2).tolist() == [0.5, 0.5] and judgments.possible(1).tolist() == [1, 1]
    path.write_text('{"query": "a", "item_id": "x"}\n')
    with pytest.raises(UserError, match="line 1: KeyError"):
        Judgments(str(path), catalogue)
    with pytest.raises(UserError, match="no such file"):
        Judgments(str(tmp_path / "none"), catalogue)


def test_what_is_relevant_to_one_user(data: str, tmp_path: Path) -> None:
    catalogue = Catalogue(data)
    first, second, third = (one.decode() for one in catalogue.item_ids[:3])
    path = tmp_path / "judgments.jsonl"
    graded = [("u", "a", first, 3), ("u", "a", second, 2), ("v", "a", third, 3), ("v", "b", third, 1)]
    lines = [{"user_id": u, "query": q, "item_id": i, "grade": g} for u, q, i, g in graded]
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    judgments = Judgments(str(path), catalogue)
    assert judgments.queries == [] and judgments.personal  # nothing is said of anybody's query
    users, queries = np.array([b"u", b"v", b"w", b"v"], object), np.array([b"a", b"a", b"a", b"b"], object)
    rows = np.array([[0, 1, 2], [0, 1, 2], [0, 1, 2], [2, 0, 1]])
    found = p_good_personal(judgments, users, queries, rows, 2)
    assert found[:2].tolist() == [1.0, 0.0] and np.isnan(found[2:]).all()
    lines.append({"user_id": None, "query": "a", "item_id": third, "grade": 2})
    path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    both = Judgments(str(path), catalogue)
    assert both.queries == [b"a"] and both.shares(rows[0], 0, 3) == pytest.approx(1 / 3)
    assert p_good_personal(both, users, queries, rows, 2)[:2].tolist() == [1.0, 0.0]
    path.write_text("[1]\n")
    with pytest.raises(UserError, match=r"line 1: .*user_id"):
        Judgments(str(path), catalogue)


def test_judgments_without_anything_good(data: str, tmp_path: Path) -> None:
    path = tmp_path / "judgments.jsonl"
    path.write_text(json.dumps({"query": "a", "item_id": "x", "grade": 1}) + "\n")
    with pytest.raises(UserError, match="names no item of grade 2 or more for any query"):
        Judgments(str(path), Catalogue(data))
