"""The items and queries that `benchmarks.index` compares indexes on."""

from __future__ import annotations

import numpy as np

from serving.index.ground_truth import exact_rows

_SEED, _QUERIES, _NEIGHBOURS = 17, 512, 8


def clusters(items: int, dim: int) -> tuple[np.ndarray, np.ndarray]:
    """ItemLookup float32 `[items, dim]` and queries from clusters of clusters; the norms of items have a long tail."""
    random = np.random.default_rng(_SEED)
    tops = random.normal(size=[30, dim])
    leaves = np.repeat(tops, 40, axis=0) + 0.7 * random.normal(size=[1200, dim])
    sizes = random.zipf(1.3, size=1200).clip(max=200).astype(float)

    def drawn(count: int) -> np.ndarray:
        chosen = random.choice(1200, count, p=sizes / sizes.sum())
        return (leaves[chosen] + 0.5 * random.normal(size=[count, dim])).astype(np.float32)

    norms = random.lognormal(0, 0.25, size=[items, 1]).astype(np.float32)
    return drawn(items) * norms, drawn(_QUERIES)


def trained(job_dir: str, data_dir: str, items: int) -> tuple[np.ndarray, np.ndarray]:
    """A job's vectors, and new ones between neighbours where more are asked for; queries of its eval requests."""
    from preprocessing.data.spec import read_spec
    from trainer.data.dataset import requests
    from trainer.evaluation.exact_top_k import item_vectors
    from trainer.job.restore import restore

    towers = restore(job_dir, data_dir)
    count = int(read_spec(data_dir)["items"])
    vectors = item_vectors(towers, data_dir, count, memory=4 * count * towers.dim)
    random = np.random.default_rng(_SEED)
    batches = requests(data_dir, "eval", _QUERIES // 2, towers.request_columns).take(2)
    queries = np.concatenate([towers.query(batch).numpy() for batch in batches])
    missing = items - len(vectors)
    if missing <= 0:
        return vectors[:items], queries
    near = exact_rows([vectors], vectors, _NEIGHBOURS)
    one = random.integers(0, len(vectors), missing)
    other = near[one, random.integers(0, _NEIGHBOURS, missing)]
    share = random.uniform(size=[missing, 1]).astype(np.float32)
    spread = 0.1 * vectors.std() * random.normal(size=[missing, vectors.shape[1]]).astype(np.float32)
    return np.concatenate([vectors, share * vectors[one] + (1 - share) * vectors[other] + spread]), queries
