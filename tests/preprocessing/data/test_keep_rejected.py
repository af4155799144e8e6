"""Rejected records: all of a few, a sample of many that is the same in any order."""

from __future__ import annotations

import apache_beam as beam
import orjson
from apache_beam.testing import test_pipeline
from apache_beam.testing.util import BeamAssertException, assert_that

from preprocessing.command.runners import beam_options, runner_of
from preprocessing.data.keep_rejected import KeepRejected

MANY = [{"stream": "actions", "reason": "bad ts", "source": "a", "record": str(number)} for number in range(500)]
FEW = [
    {"stream": "actions", "reason": "unparsable", "source": "a", "record": "{"},
    {"stream": "actions", "reason": "unparsable", "source": "a", "record": "{"},
    {"stream": "searches", "reason": "bad ts", "source": "s", "record": "{}"},
]
_SEEN: list[list[str]] = []  # the runner is this process


def _keep(lines: list[tuple[str, bytes]]) -> None:
    _SEEN.append(sorted(line.decode() for _, line in lines))


def test_a_limit_holds_for_each_reason() -> None:
    _SEEN.clear()
    for records in (FEW + MANY, MANY[::-1] + FEW):
        options = beam_options([], [], 0)
        with test_pipeline.TestPipeline(runner=runner_of(options), options=options) as root:
            kept = root | beam.Create(records) | KeepRejected(50)
            lines = kept | beam.FlatMap(lambda one: [(one[0], line) for part in one[1] for line in part])
            lines | beam.combiners.ToList() | beam.Map(_keep)
            assert_that(kept, _one_group_a_stream)
    first, second = _SEEN
    assert first == second
    found = [orjson.loads(line) for line in first]
    assert sum(one["reason"] == "bad ts" and one["stream"] == "actions" for one in found) == 50
    assert [one for one in found if one in FEW] == sorted(FEW, key=orjson.dumps)


def _one_group_a_stream(groups: list[tuple[str, list[list[bytes]]]]) -> None:
    if sorted(stream for stream, _ in groups) != ["actions", "searches"]:
        raise BeamAssertException(groups)
