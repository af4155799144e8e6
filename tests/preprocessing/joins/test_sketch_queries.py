"""Sketches of queries: exact for few, the same however they are merged, and near the truth for many."""

from __future__ import annotations

import collections
import random

import apache_beam as beam
import pytest
from apache_beam.testing.util import assert_that, equal_to
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.command.runners import beam_options, runner_of
from preprocessing.data.stats import head_and_tail
from preprocessing.joins import sketch_queries
from preprocessing.joins.sketch_queries import MergeSketches, SketchQueries, sketch_of


def test_few_queries_are_counted_whole() -> None:
    options = beam_options([], [], 0)
    with beam.Pipeline(runner=runner_of(options), options=options) as pipeline:
        sketches = pipeline | beam.Create([sketch_of({"sofa": 2, "bed": 1}), sketch_of({"sofa": 1, "lamp": 3})])
        rows = sketches | SketchQueries()
        assert_that(rows, equal_to([(("frequency", "query", "3"), 2), (("frequency", "query", "1"), 1)]))


@given(st.lists(st.text("abc", min_size=1, max_size=3), max_size=60), st.integers(1, 5), st.randoms())
def test_how_sketches_are_merged_changes_nothing(queries: list[str], workers: int, draw: random.Random) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketch_queries, "_KEPT", 8)
        merge, whole = MergeSketches(), sketch_of(collections.Counter(queries))
        parts: list[collections.Counter[str]] = [collections.Counter() for _ in range(workers)]
        for query in queries:
            parts[draw.randrange(workers)][query] += 1
        sketches = [sketch_of(part) for part in parts]
        one_by_one = merge.create_accumulator()
        for sketch in sketches:
            one_by_one = merge.add_input(one_by_one, sketch)
        expected = rows_of(merge.add_input(merge.create_accumulator(), whole))
        assert rows_of(merge.merge_accumulators(sketches)) == rows_of(one_by_one) == expected


def rows_of(sketch: bytes) -> dict[tuple[str, ...], int]:
    return dict(sketch_queries._rows(sketch))


def test_of_many_queries_a_sample_tells_the_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sketch_queries, "_KEPT", 2_000)
    asked = {f"query {rank}": 1 + 20_000 // rank for rank in range(1, 40_001)}
    rows = rows_of(MergeSketches().merge_accumulators([sketch_of(asked)]))
    histogram = {int(key[2]): count for key, count in rows.items() if key[0] == "frequency"}
    found = head_and_tail(histogram, {key[2]: count for key, count in rows.items() if key[0] == "sampled"})
    true = head_and_tail(collections.Counter(asked.values()))
    assert len(asked) > 2_000 == sum(histogram.values())
    assert found["occurrences"] == true["occurrences"]
    assert found["distinct"] == pytest.approx(true["distinct"], rel=0.07)
    for share in ("top_1_percent_share", "top_10_percent_share", "once_share"):
        assert found[share] == pytest.approx(true[share], abs=0.03)
