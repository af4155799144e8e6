"""The sample that an index is tuned by, against counting by hand."""

from __future__ import annotations

import collections

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from serving.catalogue.data_records import Requests
from serving.inputs import VECTOR_LISTS
from serving.release.tuning_sample import tuning_samples


def pool_of(queries: list[bytes]) -> Requests:
    """One request a query; each has a past of its own."""
    past = np.array([[f"item{row}".encode()] for row in range(len(queries))], object).reshape(-1, 1)
    inputs = {"query": np.array(queries, object), **dict.fromkeys(VECTOR_LISTS, past)}
    return Requests(inputs, [[b"x"]] * len(queries), np.arange(len(queries)), np.full(len(queries), b"", object))


def asked(sample: Requests) -> list[tuple[bytes, bool]]:
    """(query, whether with a past)."""
    return [(q, bool(past[0])) for q, past in zip(sample.inputs["query"], sample.inputs["short_items"], strict=True)]


def test_head_torso_and_tail_have_equal_shares() -> None:
    head, torso = [b"shoes"] * 300, [b"bag%d" % (n // 10) for n in range(300)]
    pool = pool_of([*head, *torso, *(b"rare%d" % n for n in range(300))])
    tuned_by, unseen = tuning_samples(pool, 60)
    for sample in (tuned_by, unseen):
        with_past = [query for query, past in asked(sample) if past]
        kinds = collections.Counter(query[:3] for query in with_past)
        assert kinds == {b"sho": 10, b"bag": 10, b"rar": 10}
    without = [[query for query, past in asked(sample) if not past] for sample in (tuned_by, unseen)]
    assert collections.Counter(query[:3] for query in without[0]) == {b"sho": 1, b"bag": 10, b"rar": 10}
    assert not set(without[0]) & set(without[1])  # the head query without a past is the same one again


@given(st.lists(st.sampled_from([b"a", b"b", b"c", b"d", b"e"]), min_size=1, max_size=60), st.integers(1, 40))
def test_no_request_is_in_both_samples(queries: list[bytes], count: int) -> None:
    pool = pool_of(queries)
    samples = tuning_samples(pool, count)
    drawn = [
        tuple(one) for sample in samples for one in zip(*(sample.inputs[n].flat for n in sample.inputs), strict=True)
    ]
    assert len(drawn) == len(set(drawn)) and len(samples[0]) > 0
    assert all(len(sample) <= count + 6 for sample in samples)
