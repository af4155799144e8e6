"""The indexes that `benchmarks.index` compares: each built over the same vectors, searched by ever more effort."""

from __future__ import annotations

import json
import os
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np

K = 100
Search = Callable[[np.ndarray], np.ndarray]  # float32 [B, dim] -> int [B, K]


class Subject(NamedTuple):
    """An index: its settings from the cheapest to the dearest, each with its search; and its bytes."""

    settings: Iterator[tuple[dict[str, Any], Search]]
    bytes: int


def ours(kind: str, vectors: np.ndarray) -> Subject:
    """One of the exported kinds, as `serving.export` builds and searches it."""
    import tensorflow as tf

    from serving.build import build_index
    from serving.config import ServingConfig
    from serving.index.base import Effort

    index = build_index(vectors, ServingConfig(index=kind), f"benchmark/{kind}")

    def search_with(effort: Effort) -> Search:
        traced = tf.function(
            lambda one: index.search(one, effort)[1],
            input_signature=[tf.TensorSpec([None, index.dim], tf.float32)],
            autograph=False,
        )
        return lambda queries: traced(tf.constant(queries)).numpy()

    efforts = sorted({effort for way in index.efforts(K) for effort in way}, key=lambda one: (one.leaves, one.reorder))
    return Subject(((effort._asdict(), search_with(effort)) for effort in efforts), index.bytes)


def faiss_ivf_pq(vectors: np.ndarray) -> Subject:
    """faiss: IVF with product quantisation, re-scored by the vectors."""
    import faiss

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    dim, leaves = vectors.shape[1], round(len(vectors) ** 0.5)
    coarse = faiss.IndexFlatIP(dim)
    quantised = faiss.IndexIVFPQ(coarse, dim, leaves, dim // 2, 4, faiss.METRIC_INNER_PRODUCT)
    index = faiss.IndexRefineFlat(quantised)
    index.train(vectors[: 100 * leaves])
    index.add(vectors)

    def settings() -> Iterator[tuple[dict[str, Any], Search]]:
        for probes in (4, 8, 16, 24, 32, 48, 64, 96, 128, 256):
            for factor in (2, 4, 8):
                quantised.nprobe, index.k_factor = probes, factor
                yield {"nprobe": probes, "k_factor": factor}, lambda queries: index.search(queries, K)[1]

    return Subject(settings(), vectors.nbytes + len(vectors) * (dim // 4 + 8))


def faiss_hnsw(vectors: np.ndarray) -> Subject:
    """faiss: a navigable graph over the vectors."""
    import faiss

    faiss.omp_set_num_threads(os.cpu_count() or 1)
    index = faiss.IndexHNSWFlat(vectors.shape[1], 16, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 80
    index.add(vectors)

    def settings() -> Iterator[tuple[dict[str, Any], Search]]:
        for effort in (100, 150, 200, 300, 400, 600, 800, 1600):
            index.hnsw.efSearch = effort
            yield {"efSearch": effort}, lambda queries: index.search(queries, K)[1]

    return Subject(settings(), vectors.nbytes + len(vectors) * 2 * 16 * 4)


def hnswlib_graph(vectors: np.ndarray) -> Subject:
    """hnswlib, as its authors ship it."""
    import hnswlib

    index = hnswlib.Index("ip", vectors.shape[1])
    index.init_index(len(vectors), ef_construction=80, M=16, random_seed=17)
    index.set_num_threads(os.cpu_count() or 1)
    index.add_items(vectors)

    def settings() -> Iterator[tuple[dict[str, Any], Search]]:
        for effort in (100, 150, 200, 300, 400, 600, 800, 1600):
            index.set_ef(effort)
            yield {"ef": effort}, lambda queries: index.knn_query(queries, K)[0]

    return Subject(settings(), vectors.nbytes + len(vectors) * (2 * 16 * 4 + 8))


SUBJECTS: dict[str, Callable[[np.ndarray], Subject]] = {
    "brute_force": lambda vectors: ours("brute_force", vectors),
    "scann": lambda vectors: ours("scann", vectors),
    "portable": lambda vectors: ours("portable", vectors),
    "faiss_ivf_pq": faiss_ivf_pq,
    "faiss_hnsw": faiss_hnsw,
    "hnswlib": hnswlib_graph,
}


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    shared = [len(np.intersect1d(one, other)) for one, other in zip(found, truth, strict=True)]
    return float(np.mean(shared)) / truth.shape[1]


def _tuned(subject: Subject, queries: np.ndarray, truth: np.ndarray, target: float) -> dict[str, Any]:
    """Goes up the settings to the first that reaches the target, and stays there; with the curve up to it."""
    curve = []
    for setting, search in subject.settings:
        found = np.concatenate([search(part) for part in np.array_split(queries, max(1, len(queries) // 32))])
        milliseconds = _milliseconds(search, queries, 1, 20)
        curve.append({**setting, "recall": round(_recall(found, truth), 4), "single_ms": milliseconds})
        if curve[-1]["recall"] >= target:
            return {"chosen": curve[-1], "curve": curve, "search": search, "reached": True}
    return {"chosen": curve[-1], "curve": curve, "search": search, "reached": False}


def _milliseconds(search: Search, queries: np.ndarray, batch: int, times: int) -> float:
    taken = []
    for number in range(times + 3):
        begin = (number * batch) % (len(queries) - batch + 1)
        part = np.ascontiguousarray(queries[begin : begin + batch])
        started = time.perf_counter()
        search(part)
        taken.append(time.perf_counter() - started)
    return round(1e3 * statistics.median(taken[3:]), 4)


def main() -> None:
    """Builds one subject, then answers a line of stdin with a line of JSON: `tune TARGET`, `time BATCH TIMES`."""
    name, vectors, queries, truth = sys.argv[1], *(np.load(path, mmap_mode="r") for path in sys.argv[2:5])
    queries, truth = np.array(queries), np.array(truth)
    if name in ("brute_force", "scann", "portable"):
        import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    begun = time.perf_counter()
    subject = SUBJECTS[name](np.array(vectors))
    seconds = round(time.perf_counter() - begun, 2)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    said: dict[str, Any] = {"build_s": seconds, "bytes_an_item": round(subject.bytes / len(vectors), 1)}
    print(json.dumps(said | {"peak_over_vectors": round(peak * 1024 / vectors.nbytes, 2)}), flush=True)
    search: Search | None = None
    for line in sys.stdin:
        what, *arguments = line.split()
        if what == "tune":
            tuned = _tuned(subject, queries, truth, float(arguments[0]))
            search = tuned.pop("search")
            print(json.dumps(tuned), flush=True)
        else:
            assert search is not None
            print(json.dumps(_milliseconds(search, queries, int(arguments[0]), int(arguments[1]))), flush=True)


if __name__ == "__main__":
    main()
