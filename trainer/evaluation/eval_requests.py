"""The requests that are asked, what would have been right, and which segments they belong to."""

from __future__ import annotations

import collections
from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from preprocessing.data.features import HORIZONS, STAGES
from trainer.data.dataset import requests
from trainer.evaluation.catalogue import Catalogue

POSITIVE_STAGES = ("ordered", "clicked")
PAST_ELSEWHERE = "past elsewhere"  # a past in which nothing is of the leaf of what was chosen now
SEGMENTS = ("head", "torso", "tail", "known users", "new users", PAST_ELSEWHERE, "unseen items")
_CHOSEN_LEAVES = tuple(f"{stage}_leaf" for stage in POSITIVE_STAGES)
_PAST_LEAVES = tuple(f"{horizon}_leaf" for horizon in HORIZONS)
_BATCH = 512


class Lists:
    """Lists of unequal length, flat: list `n` is `values[splits[n] : splits[n + 1]]`."""

    def __init__(self, values: np.ndarray, splits: np.ndarray) -> None:
        self.values, self.splits = values, splits

    @property
    def owners(self) -> np.ndarray:
        """The list that each value belongs to."""
        return np.repeat(np.arange(len(self.splits) - 1), np.diff(self.splits))

    def of(self, number: int) -> np.ndarray:
        """One list."""
        return self.values[self.splits[number] : self.splits[number + 1]]

    @staticmethod
    def join(parts: Sequence[tf.RaggedTensor]) -> Lists:
        """Ragged batches, one below the other."""
        lengths = np.concatenate([[0], *(part.row_lengths().numpy() for part in parts)])
        return Lists(np.concatenate([part.values.numpy() for part in parts]), np.cumsum(lengths))


class EvalRequests:
    """The requests of a split in the order of the files, with the rows of each stage's items (-1: no longer live)."""

    def __init__(self, data_dir: str, catalogue: Catalogue, limit: int | None, split: str = "eval") -> None:
        self._source = (data_dir, split, limit)
        stages = [f"{stage}_item_id" for stage in STAGES]
        batches = list(self.batches({"user_id", "query", *stages, *_CHOSEN_LEAVES, *_PAST_LEAVES}))
        self.users = _column(batches, "user_id")
        self.queries = _column(batches, "query")
        self.stages: dict[str, Lists] = {}
        for stage, name in zip(STAGES, stages, strict=True):
            ids = Lists.join([batch[name] for batch in batches]) if batches else Lists(np.array([]), np.zeros(1, int))
            self.stages[stage] = Lists(catalogue.rows(ids.values.tolist()), ids.splits)
        elsewhere = [_past_is_elsewhere(batch).numpy() for batch in batches]
        self.segments = _segments(data_dir, self.queries, self.users)
        self.segments[PAST_ELSEWHERE] = np.concatenate(elsewhere) if elsewhere else np.zeros(0, bool)

    def __len__(self) -> int:
        return len(self.queries)

    def batches(self, columns: set[str]) -> tf.data.Dataset:
        """Some of their columns, parsed."""
        data_dir, split, limit = self._source
        return requests(data_dir, split, _BATCH, columns, -1 if limit is None else limit)


def _past_is_elsewhere(batch: dict[str, tf.RaggedTensor]) -> tf.Tensor:
    """Who has a past, and in it nothing of the leaves of what was chosen: bool `[B]`."""
    past, chosen = (tf.concat([batch[name] for name in names], 1) for names in (_PAST_LEAVES, _CHOSEN_LEAVES))
    there, wanted = past.to_tensor(-1), chosen.to_tensor(-2)
    meets = tf.reduce_any(there[:, :, None] == wanted[:, None, :], axis=[1, 2])
    return (past.row_lengths() > 0) & ~meets


def _column(batches: list[dict], name: str) -> np.ndarray:
    return np.concatenate([batch[name].numpy() for batch in batches]) if batches else np.array([], object)


def _segments(data_dir: str, queries: np.ndarray, users: np.ndarray) -> dict[str, np.ndarray]:
    """By name, a mask over requests; head, torso and tail hold a third of the training searches each."""
    searched: collections.Counter[bytes] = collections.Counter()
    known: set[bytes] = set()
    for batch in requests(data_dir, "train", 4096, {"user_id", "query"}):
        searched.update(batch["query"].numpy().tolist())
        known.update(batch["user_id"].numpy().tolist())
    frequency = np.array([searched[query] for query in queries.tolist()])
    bounds = _thirds(np.array(sorted(searched.values(), reverse=True)))
    masks = {
        "head": frequency >= bounds[0],
        "torso": (frequency < bounds[0]) & (frequency >= bounds[1]),
        "tail": frequency < bounds[1],
    }
    new = np.array([user not in known for user in users.tolist()], bool)
    return {**masks, "known users": ~new, "new users": new}


def _thirds(counts: np.ndarray) -> tuple[int, int]:
    """How often a query was searched to be of the head, and of the torso, given all counts, largest first."""
    if not len(counts):
        return 1, 1
    covered = np.cumsum(counts) / counts.sum()
    places = [min(int(np.searchsorted(covered, share)), len(counts) - 1) for share in (1 / 3, 2 / 3)]
    return int(counts[places[0]]), int(counts[places[1]])
