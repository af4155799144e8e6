"""The pipeline as its command runs it, and what each of its steps took: where the next second is to be won.

python -m benchmarks.stage_costs costs.json --config c.yaml --input raw/ --output data/ [any flag of the command]
"""

from __future__ import annotations

import collections
import json
import sys
from pathlib import Path
from typing import Any

import apache_beam as beam
from apache_beam.metrics import monitoring_infos

from preprocessing import pipeline as command
from preprocessing.command.console import run_command

_MILLISECONDS = {
    monitoring_infos.START_BUNDLE_MSECS_URN,
    monitoring_infos.PROCESS_BUNDLE_MSECS_URN,
    monitoring_infos.FINISH_BUNDLE_MSECS_URN,
}
_WORTH_TELLING = 100  # milliseconds


def seconds_by_step(result: Any) -> dict[str, float]:
    """Seconds of all workers in each step of ours, the dearest first; what Beam does inside one counts for it."""
    steps: collections.Counter[str] = collections.Counter()
    for info in result.monitoring_infos():
        if info.urn in _MILLISECONDS:
            steps[_step(info.labels["PTRANSFORM"])] += monitoring_infos.extract_counter_value(info)
    return {step: round(taken / 1000, 2) for step, taken in steps.most_common() if taken >= _WORTH_TELLING}


def _step(label: str) -> str:
    """The step of the graph that a transform is part of."""
    names = label.split("/")
    return names[1] if names[0] in ("MakeExamples", "WriteDataFolder") and len(names) > 1 else names[0]


def main(argv: list[str] | None = None) -> int:
    """Runs the command, and leaves the seconds by step in a file."""
    path, *flags = argv if argv is not None else sys.argv[1:]

    def run_and_tell(pipeline: beam.Pipeline) -> None:
        result = pipeline.run()
        result.wait_until_finish()
        Path(path).write_text(json.dumps(seconds_by_step(result)))

    command.run_to_end = run_and_tell  # the command itself keeps no result
    return command.main(flags)


if __name__ == "__main__":
    run_command(main)
