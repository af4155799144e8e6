"""Every kind of index and the oracle against sorting everything, and balanced leaves."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from serving.config import PortableConfig, ScannConfig
from serving.index.balanced_kmeans import assign, train_centroids
from serving.index.base import Effort, Index, zero_copy
from serving.index.ground_truth import exact_rows
from serving.index.portable import build_portable
from serving.index.scann import build_scann

RANDOM = np.random.default_rng(3)
CENTRES = RANDOM.normal(size=(30, 16))
VECTORS = (CENTRES[RANDOM.integers(0, 30, 3_000)] + RANDOM.normal(size=(3_000, 16)) / 2).astype(np.float32)
QUERIES = (CENTRES[RANDOM.integers(0, 30, 50)] + RANDOM.normal(size=(50, 16)) / 2).astype(np.float32)


def test_exact_rows() -> None:
    alive = RANDOM.random(3_000) > 0.5
    scores = np.where(alive, QUERIES @ VECTORS.T, -np.inf)
    assert (
        exact_rows([VECTORS[:2_000], VECTORS[2_000:]], QUERIES, 7, alive).tolist()
        == np.argsort(-scores)[:, :7].tolist()
    )
    few = np.zeros(3_000, bool)
    few[[5, 2_999]] = True
    found = exact_rows([VECTORS], QUERIES[:1], 4, few)[0]
    assert set(found[:2].tolist()) == {5, 2_999} and found[2:].tolist() == [-1, -1]


def test_no_leaf_is_over_full() -> None:
    centroids = train_centroids(VECTORS, 40, 2_000, 4, 1)
    leaf = assign(VECTORS, centroids, 80)
    assert np.bincount(leaf, minlength=40).max() <= 80 and leaf.min() >= 0
    tight = assign(VECTORS, centroids, 75)
    assert np.bincount(tight, minlength=40).tolist() == [75] * 40


def found_by(index: Index, effort: Effort) -> list[set[int]]:
    return [set(row.tolist()) - {-1} for row in index.search(QUERIES, effort)[1].numpy()]


def test_every_leaf_opened_is_exact() -> None:
    truth = [set(row.tolist()) for row in exact_rows([VECTORS], QUERIES, 20)]
    portable = build_portable(VECTORS, PortableConfig())
    scann = build_scann(VECTORS, ScannConfig(training_sample=2_000), "exact/1")
    for index in (portable, scann):
        assert found_by(index, Effort(20, 10_000, 3_000)) == truth
        slots = [index.slice(begin, min(begin + 500, index.slots)) for begin in range(0, index.slots, 500)]
        rows = np.concatenate([one[1].numpy() for one in slots])
        held = np.concatenate([one[0].numpy() for one in slots])[rows >= 0]
        assert sorted(rows[rows >= 0].tolist()) == list(range(3_000))
        np.testing.assert_array_equal(held, VECTORS[rows[rows >= 0]])
    scores, rows = (found.numpy() for found in scann.search(QUERIES, Effort(200, 1, 200)))
    none = rows < 0  # a leaf of fewer than 200 leaves the rest none, not made up
    assert none.any() and np.isneginf(scores[none]).all()
    np.testing.assert_allclose(scores[~none], (QUERIES @ VECTORS.T)[np.nonzero(~none)[0], rows[~none]], atol=1e-4)


def test_vectors_of_a_file_are_not_copied(tmp_path: Path) -> None:
    VECTORS.tofile(tmp_path / "vectors")
    mapped = np.memmap(tmp_path / "vectors", np.float32, "c", shape=VECTORS.shape)
    tensor = zero_copy(mapped)
    mapped[5, 3] = 17  # in memory alone
    assert float(tensor[5, 3]) == 17
    fixed = np.array(VECTORS)
    fixed.flags.writeable = False
    np.testing.assert_array_equal(zero_copy(fixed).numpy(), VECTORS)


def test_int8_slots_are_near_their_vectors() -> None:
    scann = build_scann(VECTORS, ScannConfig(training_sample=2_000, int8=True), "int8/1")
    portable = build_portable(VECTORS, PortableConfig(int8=True))
    for index in (scann, portable):
        assert index.bytes < VECTORS.nbytes
        held, rows = (one.numpy() for one in index.slice(0, index.slots))
        np.testing.assert_allclose(held[rows >= 0], VECTORS[rows[rows >= 0]], atol=0.05)


def test_int8_leaves_find_nearly_the_same() -> None:
    index = build_portable(VECTORS, PortableConfig(int8=True))
    scores, rows = (found.numpy() for found in index.search(QUERIES, Effort(20, 10_000)))
    np.testing.assert_allclose(scores, np.einsum("bd,bkd->bk", QUERIES, VECTORS[rows]), atol=0.2)
    shared = [
        len(found & set(best))
        for found, best in zip(map(set, rows.tolist()), exact_rows([VECTORS], QUERIES, 20).tolist(), strict=True)
    ]
    assert np.mean(shared) > 19


def test_two_searchers_in_one_process() -> None:
    """ScaNN finds its searcher by a name: no version may find another's."""
    halves = [VECTORS[:1_500], VECTORS[1_500:]]
    config = ScannConfig(training_sample=1_000, exact_below=0)
    indexes = [build_scann(half, config, "shop/1") for half in halves]  # of one name, as two models' first versions
    for _ in range(2):
        for index, half in zip(indexes, halves, strict=True):
            assert found_by(index, Effort(5, 10_000, 1_500)) == [
                set(row) for row in exact_rows([half], QUERIES, 5).tolist()
            ]
