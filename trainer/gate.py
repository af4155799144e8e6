"""python -m trainer.gate: whether a job's metric reaches a bound, or another job's; status 1 if it does not."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import Any

from preprocessing.command.console import UserError, fail, nearest, run_command
from preprocessing.command.flags import Flags

_HELP = """\
Compares one metric of a job's metrics.json (written by python -m trainer.evaluate) with a lower bound, and with another
job's. Made for a delivery pipeline: the exit status is 0 if the job passes, 1 if it does not, 2 for a mistake.

examples:
  python -m trainer.gate --job-dir out/mgdspr --least 0.05
  python -m trainer.gate --job-dir gs://b/jobs/new --baseline gs://b/jobs/live --drop 0.02
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        prog="python -m trainer.gate",
        description=_HELP,
    )
    flags.add_argument("--job-dir", required=True, help="the job to judge, already evaluated")
    flags.add_argument("--figure", default="recall@100/clicked", help="a key of metrics.json (default %(default)s)")
    flags.add_argument("--least", type=float, default=0.0, help="the lowest value that passes (default %(default)s)")
    flags.add_argument("--baseline", metavar="JOB", help="another evaluated job to compare with")
    flags.add_argument(
        "--drop", type=float, default=0.01, help="how far below --baseline still passes (default %(default)s)"
    )
    return flags.parse_args(argv)


def figure_of(job_dir: str, name: str) -> float:
    """The mean of a figure of the job itself."""
    from apache_beam.io.filesystems import FileSystems  # behind `preprocessing`, which quiets it

    path = f"{job_dir.rstrip('/')}/metrics.json"
    if not FileSystems.exists(path):
        raise UserError(f"{path}: no such file; run python -m trainer.evaluate --job-dir {job_dir} first")
    with FileSystems.open(path) as file:
        metrics: dict[str, Any] = json.loads(file.read())
    figures = metrics["models"][metrics["job"]]
    if name not in figures:
        raise UserError(f"--figure {name}: not in {path}{nearest(name, figures)}")
    return float(figures[name]["mean"])


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    found = figure_of(flags.job_dir, flags.figure)
    bounds = {f"--least {flags.least:.4f}": flags.least}
    if flags.baseline:
        reached = figure_of(flags.baseline, flags.figure)
        bounds[f"{reached:.4f} of {flags.baseline} less --drop {flags.drop:.4f}"] = reached - flags.drop
    for name, bound in bounds.items():
        if found < bound:
            fail(f"{flags.figure} of {flags.job_dir} is {found:.4f}, below {name}", status=1)
    print(f"{flags.figure} of {flags.job_dir} is {found:.4f}: passed")
    return 0


if __name__ == "__main__":
    run_command(main)
