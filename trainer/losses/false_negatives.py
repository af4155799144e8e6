"""Which of the pool are no honest hard negatives of a request: items that the batch's log calls relevant."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import tensorflow as tf

from trainer.config import HardNegativeMask
from trainer.data.padding import Padded
from trainer.losses.negatives import either, held, places_of
from trainer.losses.replicas import gathered

QUERY_KEY = "query_key"
_CHOSEN = ("ordered", "clicked")


class Listed(NamedTuple):
    """Items of requests, flat."""

    rows: tf.Tensor  # [n], the request of each
    keys: tf.Tensor  # [n]


class FalseNegatives:
    """Finds them by what a config names.

    request: what was ordered or clicked in the request itself. shown: what else its page showed. query: what was
    ordered or clicked in requests of the batch with the same query, of any replica.
    """

    def __init__(self, mask: Collection[HardNegativeMask]) -> None:
        self._mask = frozenset(mask)

    @property
    def columns(self) -> set[str]:
        """The features of a request that are read for it."""
        stages = _CHOSEN if self._mask & {"request", "query"} else ()
        shown = {"shown_item_id"} if "shown" in self._mask else set()
        return {f"{stage}_item_id" for stage in stages} | shown | ({"query"} if "query" in self._mask else set())

    def places(self, requests: Mapping[str, Any], keys: tf.Tensor) -> tf.Tensor:
        """int `[n, 2]`: (request, place in the pool); one may come twice.

        Args:
          requests: the features of `columns`, keyed.
          keys: `[C]`, those of the pool.
        """
        if any(isinstance(requests.get(f"{stage}_key"), Padded) for stage in (*_CHOSEN, "shown")):
            return self._padded_places(requests, keys)
        found = [tf.zeros([0, 2], tf.int32)]
        if "request" in self._mask:
            found.append(places_of(*_listed(requests, _CHOSEN), keys))
        if "shown" in self._mask:
            found.append(places_of(*_listed(requests, ("shown",)), keys))
        if "query" in self._mask:
            found.append(places_of(*_of_same_query(requests[QUERY_KEY], _listed(requests, _CHOSEN)), keys))
        return tf.concat(found, axis=0)

    def _padded_places(self, requests: Mapping[str, Any], keys: tf.Tensor) -> tf.Tensor:
        """The same of padded lists, on one replica: bool `[B, C]`."""
        found = [tf.zeros([1, 1], tf.bool)]  # nothing
        if "request" in self._mask:
            found.append(_of_padded(requests, _CHOSEN, keys))
        if "shown" in self._mask:
            found.append(_of_padded(requests, ("shown",), keys))
        if "query" in self._mask:
            queries = requests[QUERY_KEY]
            alike = (queries[:, None] == queries) & (queries != 0)
            chosen = _of_padded(requests, _CHOSEN, keys)
            found.append(tf.matmul(tf.cast(alike, tf.float32), tf.cast(chosen, tf.float32)) > 0)
        return either(found)


def _of_padded(requests: Mapping[str, Any], stages: Collection[str], keys: tf.Tensor) -> tf.Tensor:
    """Where the pool holds the items of some stages: bool `[B, C]`."""
    return held(tf.concat([requests[f"{stage}_key"].values for stage in stages], axis=1), keys)


def _listed(requests: Mapping[str, Any], stages: Collection[str]) -> Listed:
    """The items of some stages."""
    keys = tf.concat([requests[f"{stage}_key"] for stage in stages], axis=1)
    return Listed(tf.cast(keys.value_rowids(), tf.int32), keys.values)


def _of_same_query(queries: tf.Tensor, chosen: Listed) -> Listed:
    """What was chosen by whoever asked the same.

    Args:
      queries: `[B]`, a key of each request's query; 0 for one without a word, which is like no other.
      chosen: by these requests.
    """
    asked, items = gathered(tf.gather(queries, chosen.rows)), gathered(chosen.keys)
    rows = tf.cast(tf.where(queries != 0)[:, 0], tf.int32)
    alike = places_of(rows, tf.gather(queries, rows), asked)  # (request, number of an item)
    return Listed(alike[:, 0], tf.gather(items, alike[:, 1]))
