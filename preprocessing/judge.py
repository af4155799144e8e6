"""python -m preprocessing.judge: graded judgments of queries' items from what users clicked."""

from __future__ import annotations

import argparse
import logging
import re
import uuid
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from preprocessing.command.console import UserError, fail, progress, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from preprocessing.config import PreprocessingConfig

if TYPE_CHECKING:
    from preprocessing.judging.click_models import Counts

OWN_FLAGS = ("--config", "--input", "--output", "--model", "--least-shown", "--grades", "--set")
_HELP = """\
Judges the items that were shown for each query by their clicks, with the place on the page taken out: an item at the
top is clicked for standing there. Writes judgments.jsonl.gz, for trainer.evaluate --judgments, and opensearch.json, for
OpenSearch's Search Relevance Workbench.

  --model pbm    the position-based model: how likely each place is looked at, found by expectation maximisation
  --model coec   clicks over expected clicks: each place expects its own average

examples:
  python -m preprocessing.judge --config configs/demo.yaml --input out/raw --output out/judged
  python -m preprocessing.judge --config c.yaml --input gs://b/raw --output gs://b/judged --model coec \\
      --least-shown 20 --runner=DataflowRunner --project=my-project --region=europe-west4
"""


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our flags, and the rest for Beam."""
    flags = Flags(
        others=True,
        prog="python -m preprocessing.judge",
        description=_HELP,
        epilog="Every other flag is Beam's own (--runner, --direct_num_workers, --parallelism, ...).",
    )
    flags.add_argument("--config", required=True, help="the experiment's YAML; preprocessing.input names the logs")
    flags.add_argument("--input", default="", help="folder of the raw logs, as for preprocessing.pipeline")
    flags.add_argument("--output", required=True, help="a folder of its own")
    flags.add_argument("--model", choices=("pbm", "coec"), default="pbm", help="(%(default)s)")
    flags.add_argument(
        "--least-shown", type=int, default=5, metavar="N", help="times an item must be shown for a query (%(default)s)"
    )
    flags.add_argument(
        "--grades",
        default="0.75,1.25,2",
        metavar="A,B,C",
        help="grades 1, 2 and 3 begin at these scores, where 1 is as clicked as any item there (%(default)s)",
    )
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    given, others = flags.parse_known_args(argv)
    given.grades = _grades(given.grades)
    if given.least_shown < 1:
        raise UserError(f"--least-shown {given.least_shown}: at least 1")
    return given, others


def _grades(written: str) -> list[float]:
    parts = written.split(",")
    if len(parts) != 3 or not all(re.fullmatch(r"\s*\d*\.?\d+\s*", part) for part in parts):
        raise UserError(f"--grades {written}: three numbers, as in 0.75,1.25,2")
    found = [float(part) for part in parts]
    if sorted(set(found)) != found or found[0] <= 0:
        raise UserError(f"--grades {written}: each higher than the one before, and over 0")
    return found


def main(argv: list[str] | None = None) -> int:
    """The command."""
    given, beam_flags = arguments(argv)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what stops the job is told once, by us
    config = load_section(given.config, "preprocessing", PreprocessingConfig, given.set)
    # Beam comes with them: `--help` does not wait for that.
    from preprocessing.judging.count_logs import count_logs
    from preprocessing.judging.judgment_files import STAGING, check_output, write_judgments

    output = given.output.rstrip("/")
    check_output(output)
    try:
        with progress("counting clicks", None):
            pairs, counts, streams = count_logs(
                config, given.input.rstrip("/"), f"{output}/{STAGING}{uuid.uuid4().hex}", beam_flags, OWN_FLAGS
            )
    except UserError:
        raise
    except Exception as error:
        cause = str(error).strip().splitlines() or [type(error).__name__]
        fail(f"the job stopped: {cause[-1]}", status=1)
    if not counts.clicked.sum():
        raise UserError(f"--input {given.input}: no click on what a search showed; there is nothing to judge by")
    judged, summary = judge(pairs, counts, given)
    write_judgments(output, judged, {**summary, "streams": streams})
    graded = ", ".join(f"{summary['grades'][str(grade)]:,} of grade {grade}" for grade in (3, 2, 1, 0))
    print(f"{len(judged):,} items of {summary['queries']:,} queries: {graded}; in {output}")
    return 0


def judge(pairs: Sequence[tuple[str, str]], counts: Counts, given: Any) -> tuple[list[Any], dict[str, Any]]:
    """The judgments in the order of queries, best first; and what they were made of."""
    import numpy as np

    from preprocessing.judging.click_models import expected_clicks, scores
    from preprocessing.judging.judgment_files import Judged

    expected = expected_clicks(counts, given.model)
    score = scores(counts, expected)
    grade = np.searchsorted(given.grades, score, side="right")
    shown, clicked = (counts.of_pairs(one) for one in (counts.shown, counts.clicked))

    def found() -> Iterator[Judged]:
        for number in np.flatnonzero(shown >= given.least_shown).tolist():
            times = int(shown[number]), int(clicked[number])
            yield Judged(*pairs[number], round(float(score[number]), 4), int(grade[number]), *times)

    judged = sorted(found(), key=lambda one: (one.query, -one.score, one.item_id))
    summary = {
        "model": given.model,
        "queries": len({one.query for one in judged}),
        "grades": {str(grade): sum(one.grade == grade for one in judged) for grade in range(4)},
        "expected_clicks": [round(float(one), 5) for one in expected],
        "shown": counts.of_places(counts.shown).astype(int).tolist(),
        "clicked": counts.of_places(counts.clicked).astype(int).tolist(),
    }
    return judged, summary


if __name__ == "__main__":
    run_command(main)
