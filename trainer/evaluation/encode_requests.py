"""A job's towers over requests: the requests' vectors, and the scores of the items they showed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing.data.features import STAGES
from preprocessing.data.spec import read_spec
from preprocessing.text.vocabulary_files import Vocabularies
from trainer.data.dataset import keyed_requests
from trainer.evaluation.eval_requests import EvalRequests
from trainer.job.restore import TrainedTowers
from trainer.towers.stage_items import stage_columns, stage_items


def encode(towers: TrainedTowers, eval_requests: EvalRequests) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Query vectors `[n, d]`, and by stage the flat scores of its items (nan: not live)."""
    columns = set(towers.request_columns).union(*(stage_columns(stage, towers.item_columns) for stage in STAGES))

    batches = eval_requests.batches(columns).map(keyed_requests)

    @tf.function(input_signature=[batches.element_spec])
    def one(batch: dict[str, Any]) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        vectors = towers.query({name: batch[name] for name in towers.request_columns})
        scores = {}
        for stage in STAGES:
            items = stage_items(batch, stage, towers.item_columns)
            mine = tf.gather(vectors, items.requests)
            scores[stage] = tf.reduce_sum(mine * towers.item(items.features), axis=1)
        return vectors, scores

    vectors: list[np.ndarray] = [np.zeros([0, towers.dim], np.float32)]
    scores: dict[str, list[np.ndarray]] = {stage: [np.zeros(0, np.float32)] for stage in STAGES}
    for batch in batches:
        found, of_stages = one(batch)
        vectors.append(found.numpy())
        for stage in STAGES:
            scores[stage].append(of_stages[stage].numpy())
    live = {
        stage: np.where(eval_requests.stages[stage].values >= 0, np.concatenate(parts), np.nan)
        for stage, parts in scores.items()
    }
    return np.concatenate(vectors), live


def encode_queries(towers: TrainedTowers, data_dir: str, queries: Sequence[str | bytes]) -> np.ndarray:
    """Vectors `[n, d]` of queries that nobody known asks: without previous queries, without a past."""
    grams = sorted(name.removeprefix("query_") for name in towers.request_columns if name.startswith("query_"))
    vocabularies = Vocabularies(f"{data_dir}/vocab", read_spec(data_dir), grams)
    encoded = vocabularies.encoded(tf.constant(queries, tf.string), grams)
    return towers.query_alone({f"query_{name}": ids for name, ids in encoded.items()}).numpy()
