"""Recall over the full catalogue, exactly: every item's vector, every query, in blocks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from trainer import dataset
from trainer.dataset import Spec
from trainer.model import Retrieval

_ITEMS_A_BLOCK, _QUERIES_A_BLOCK = 4096, 256
STAGES = ("ordered", "clicked")


def full_catalogue_recall(model: Retrieval, data: str, spec: Spec, at: Sequence[int]) -> dict[str, float]:
    """`recall@k/<stage>` for each k of `at`: the share of a request's items among its k best, over eval requests.

    Items that are no longer live count for nothing, and a request without live ones not at all.
    """
    item_ids, vectors = _catalogue(model, data, spec)
    rows = {item_id: row for row, item_id in enumerate(item_ids)}
    embed = tf.function(model.query_tower, reduce_retracing=True)
    shares: dict[str, list[float]] = {f"recall@{k}/{stage}": [] for stage in STAGES for k in at}
    deepest = min(max(at), len(item_ids))
    for requests in dataset.requests(data, spec, "eval", _QUERIES_A_BLOCK):
        best = tf.math.top_k(tf.matmul(embed(requests), vectors, transpose_b=True), deepest).indices.numpy()
        for stage in STAGES:
            for ranked, wanted in zip(best, requests[f"{stage}_item_id"].to_list(), strict=True):
                live = [rows[item_id] for item_id in wanted if item_id in rows]
                places = [np.flatnonzero(ranked == row) for row in live]
                for k in at if live else ():
                    found = sum(place.size > 0 and place[0] < k for place in places)
                    shares[f"recall@{k}/{stage}"].append(found / len(live))
    return {name: round(float(np.mean(found)), 5) if found else 0.0 for name, found in shares.items()}


def _catalogue(model: Retrieval, data: str, spec: Spec) -> tuple[list[bytes], tf.Tensor]:
    embed = tf.function(model.catalog_vectors, reduce_retracing=True)
    item_ids: list[bytes] = []
    blocks = []
    for items in dataset.catalog(data, spec, _ITEMS_A_BLOCK):
        item_ids += items["item_id"].numpy().tolist()
        blocks.append(embed(items))
    return item_ids, tf.concat(blocks, axis=0)
