"""faiss and hnswlib, each with what its authors advise for inner products on a CPU."""

from __future__ import annotations

import os
from typing import Any

import numpy as np

from benchmarks.index_subjects import Climber, K

_CORES = os.cpu_count() or 1
_LINKS, _BUILD_EFFORT = 32, 100
_EFFORTS = (100, 150, 200, 300, 400, 600, 800, 1200, 1600, 2400, 3200)


class Lifted:
    """Vectors with one more component, so that the nearest by distance is the best by inner product.

    Graphs of inner products lead every walk to the longest vectors; graphs of distances find their way.
    """

    def __init__(self, vectors: np.ndarray) -> None:
        squares = np.einsum("nd,nd->n", vectors, vectors)
        self.items = np.empty((len(vectors), vectors.shape[1] + 1), np.float32)
        self.items[:, :-1] = vectors
        self.items[:, -1] = np.sqrt(np.maximum(squares.max() - squares, 0))

    @staticmethod
    def queries(queries: np.ndarray) -> np.ndarray:
        """float32 `[B, dim + 1]`."""
        return np.pad(queries, [(0, 0), (0, 1)])


def build(name: str, vectors: np.ndarray) -> Climber:
    """One of them."""
    return {"faiss_ivf_pq": faiss_ivf_pq, "faiss_hnsw": faiss_hnsw, "hnswlib": hnswlib_graph}[name](vectors)


def faiss_ivf_pq(vectors: np.ndarray) -> Climber:
    """faiss: inverted lists, product quantisation scored in registers, then by the vectors."""
    import faiss

    faiss.omp_set_num_threads(_CORES)
    dim, lists = vectors.shape[1], round(len(vectors) ** 0.5)
    index = faiss.index_factory(dim, f"IVF{lists},PQ{dim // 2}x4fs,RFlat", faiss.METRIC_INNER_PRODUCT)
    index.train(np.array(vectors[: 100 * lists]))
    index.add(vectors)
    quantised = faiss.downcast_index(index.base_index)

    def use(setting: dict[str, Any]) -> None:
        quantised.nprobe, index.k_factor = setting["nprobe"], setting["k_factor"]

    probes = [one for one in (4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 256) if one < lists]
    ways = [[{"nprobe": one, "k_factor": factor} for one in probes] for factor in (4, 8, 16, 32)]
    size = vectors.nbytes + len(vectors) * (dim // 4 + 8)
    return Climber(ways, use, lambda queries: index.search(queries, K)[1], size)


def faiss_hnsw(vectors: np.ndarray) -> Climber:
    """faiss: a navigable graph over the vectors."""
    import faiss

    faiss.omp_set_num_threads(_CORES)
    lifted = Lifted(vectors)
    index = faiss.IndexHNSWFlat(lifted.items.shape[1], _LINKS)
    index.hnsw.efConstruction = _BUILD_EFFORT
    index.add(lifted.items)
    size = lifted.items.nbytes + len(vectors) * 2 * _LINKS * 4
    del lifted.items

    def use(setting: dict[str, Any]) -> None:
        index.hnsw.efSearch = setting["efSearch"]

    ways = [[{"efSearch": effort} for effort in _EFFORTS]]
    return Climber(ways, use, lambda queries: index.search(lifted.queries(queries), K)[1], size)


def hnswlib_graph(vectors: np.ndarray) -> Climber:
    """hnswlib, as its authors ship it."""
    import hnswlib

    lifted = Lifted(vectors)
    index = hnswlib.Index("l2", lifted.items.shape[1])
    index.init_index(len(vectors), ef_construction=_BUILD_EFFORT, M=_LINKS, random_seed=17)
    index.set_num_threads(_CORES)
    index.add_items(lifted.items)
    size = lifted.items.nbytes + len(vectors) * (2 * _LINKS * 4 + 8)
    del lifted.items

    def use(setting: dict[str, Any]) -> None:
        index.set_ef(setting["ef"])

    ways = [[{"ef": effort} for effort in _EFFORTS]]
    return Climber(ways, use, lambda queries: index.knn_query(lifted.queries(queries), K)[0], size)
