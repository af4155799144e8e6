"""What past queries led to, against plain counting."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from trainer.evaluation import past_queries
from trainer.evaluation.catalogue import Catalogue
from trainer.evaluation.past_queries import PastQueries
from trainer.evaluation.query_scores import search

_LOG = [  # query, ordered, clicked
    ("red running shoes", [0], [1, 2]),
    ("Red  Running Shoes", [], [1]),
    ("red running shoe", [], [3]),
    ("garden hose", [4], []),
    ("", [], [5]),
]


@pytest.fixture
def past(data: str, monkeypatch: pytest.MonkeyPatch) -> PastQueries:
    """Of the log above; items are the catalogue's first, and one is gone."""
    catalogue = Catalogue(data)

    def read(data_dir: str, split: str, batch: int, features: set[str]) -> list[dict[str, Any]]:
        assert split == "train"
        ids = catalogue.item_ids.tolist()
        ordered, clicked = ([[ids[row] for row in one[place]] for one in _LOG] for place in (1, 2))
        clicked[3] = [b"gone"]
        columns = {"ordered_item_id": tf.ragged.constant(ordered, tf.string, ragged_rank=1)}
        columns["clicked_item_id"] = tf.ragged.constant(clicked, tf.string, ragged_rank=1)
        return [{"query": tf.constant([one[0] for one in _LOG]), **columns}]

    monkeypatch.setattr(past_queries, "requests", read)
    return PastQueries(data, catalogue)


def test_the_nearest_past_queries_give_their_items(past: PastQueries) -> None:
    found = search(past, [b"red running shoes", b"hoses for the garden", b"\xe5\x85\x89", b""], 5)
    # The query itself, whose item 0 was ordered and item 1 clicked twice (both weigh 2), then the one with "shoe".
    assert found.rows[0].tolist() == [0, 1, 2, 3, -1]
    assert found.scores[0, :3] == pytest.approx([math.log(3), math.log(3), math.log(2)])
    assert 0 < found.scores[0, 3] < math.log(2)
    assert found.rows[1, 0] == 4
    assert (found.rows[2:] == -1).all()


def test_what_is_in_the_log_is_found_again(data: str) -> None:
    """The neighbour nearest to a past query is itself."""
    catalogue = Catalogue(data)
    past = PastQueries(data, catalogue)
    batch = next(iter(past_queries.requests(data, "train", 50, {"query", "ordered_item_id"})))
    for scores, ordered in zip(
        past.scores(batch["query"].numpy().tolist()), batch["ordered_item_id"].to_list(), strict=True
    ):
        rows = catalogue.rows(ordered)
        assert past.possible and (scores[rows[rows >= 0]] >= np.float32(math.log(3))).all()
