"""How an export's channels are weighed: by what both find for validation requests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from preprocessing.data.spec import asked_by_people
from preprocessing.text.vocabulary_files import known_words
from preprocessing.words.channel_fusion import Found, Fusion
from preprocessing.words.choose_fusion import DEPTHS, MOST_REQUESTS, Chosen
from preprocessing.words.query_kinds import MOST_TRAINING, QueryKinds, ways_to_tell
from preprocessing.words.weigh_channels import Asked, Words, weigh_channels
from preprocessing.words.word_search import WordSearch
from serving.catalogue.data_records import Requests, training_queries
from serving.catalogue.table import Table
from serving.index.ground_truth import exact_rows

_TOGETHER = 64  # requests
VECTORS_ALONE = Chosen(Fusion("scores", ((1.0, 0.0),)), None, "config", 0, {})


class Weighed(NamedTuple):
    """The weights of channels, and what they hang on."""

    chosen: Chosen
    kinds: QueryKinds | None  # how queries are told apart, where their weights differ


def most_asked(pool: Requests) -> Requests:
    """The requests that channels are weighed by."""
    return pool.slice(0, MOST_REQUESTS)


def weigh(
    requests: Requests,
    queries: np.ndarray,
    vectors: np.ndarray,
    table: Table,
    search: WordSearch,
    data_dir: str,
    spec: Mapping[str, Any],
    limits: tuple[int, int],
) -> Weighed:
    """The weights of the channels of one catalogue.

    Args:
      requests: of `most_asked`.
      queries: float32 `[R, dim]`, their vectors.
      vectors: float32 `[N, dim]`, of all items.
      table: of the same items.
      search: of their words.
      data_dir: where training's queries and words stand.
      spec: of that folder.
      limits: characters and words of a query.
    """
    ways = ways_to_tell(known_words(data_dir), training_queries(data_dir, MOST_TRAINING), *limits)
    rows = {item_id: row for row, item_id in enumerate(table.ids.tolist())}
    taken = [np.array([rows.get(one, -1) for one in answers], np.int64) for answers in requests.answers]
    asked = Asked(requests.inputs["query"].tolist(), requests.users.tolist(), taken)
    found = exact_found(vectors, queries, min(max(DEPTHS), len(vectors)))
    chosen = weigh_channels(asked, found, Words(search, ways, limits), asked_by_people(spec))
    return Weighed(chosen, ways[chosen.kinds] if chosen.kinds else None)


def exact_found(vectors: np.ndarray, queries: np.ndarray, k: int) -> Found:
    """The `k` best of vectors `[N, dim]` for queries `[Q, dim]`."""
    rows = exact_rows([vectors], queries, k)
    scores = np.empty(rows.shape, np.float32)
    for begin in range(0, len(rows), _TOGETHER):
        part = slice(begin, begin + _TOGETHER)
        scores[part] = np.einsum("qd,qkd->qk", queries[part], vectors[rows[part]])
    return Found(scores, rows)
