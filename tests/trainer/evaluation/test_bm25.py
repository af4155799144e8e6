"""BM25 finds what holds the words."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.evaluation.bm25 import Bm25
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.eval_requests import EvalRequests
from trainer.evaluation.query_scores import rank_requests, search


def test_descriptions_are_read_where_asked(data: str) -> None:
    catalogue = Catalogue(data)
    catalogue.descriptions = np.array([b"", b"waterproof", *catalogue.descriptions[2:]], object)
    plain, described = (search(Bm25(catalogue, one), [b"waterproof"], 1) for one in (False, True))
    assert plain.rows.tolist() == [[-1]] and described.rows.tolist() == [[1]]


def test_bm25_finds_the_words(data: str) -> None:
    catalogue = Catalogue(data)
    eval_requests = EvalRequests(data, catalogue, None)
    index = Bm25(catalogue)
    title = catalogue.titles[7]
    found = search(index, [title, b"", b"qqqzzz"], 5)
    assert catalogue.titles[found.rows[0, 0]] == title and (np.diff(found.scores[0]) <= 0).all()
    assert (found.rows[1:] == -1).all() and np.isneginf(found.scores[1:]).all()
    ranking, scores = rank_requests(index, eval_requests, 5)
    again = search(index, eval_requests.queries[:3].tolist(), 5)
    assert (ranking.rows[:3] == again.rows).all()
    shown, place = eval_requests.stages["shown"], 0
    for row, score in zip(shown.of(place), scores["shown"][: shown.splits[1]], strict=True):
        if row in ranking.rows[place]:
            assert score == pytest.approx(ranking.scores[place][ranking.rows[place] == row][0])
