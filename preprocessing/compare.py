"""python -m preprocessing.compare: how a day's records differ from the day's before; status 3 past a limit."""

from __future__ import annotations

import argparse
import collections
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from preprocessing.command.console import UserError, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from preprocessing.config import PreprocessingConfig

if TYPE_CHECKING:
    from preprocessing.between_days.findings import Finding

PAST_A_LIMIT = 3
_ROWS = 3  # of each check, in the table
_HELP = """\
Compares two folders of python -m preprocessing.pipeline: schema, counts, empty fields, attribution, lengths of lists,
what is new in vocabularies and gone from them, and how far queries and items drifted. Each change has a limit, in
preprocessing.compare of the config, above what sampling alone gives.

Counts are exact. The rest is of a sample: of each split the first records, whose order is a shuffle, of up to 16 files.

examples:
  python -m preprocessing.compare data/2024-06-01 data/2024-06-02
  python -m preprocessing.compare data/2024-06-01 data/2024-06-02 --config c.yaml --report compare.html
  python -m preprocessing.compare data/2024-06-01 data/2024-06-02 --served 'requests/2024-06-02/*'

exit status: 0 no change is past its limit, 2 a mistake in flags or files, 3 a change is past its limit, or the schemas
differ
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(prog="python -m preprocessing.compare", description=_HELP)
    flags.add_argument("before", metavar="YESTERDAY", help="a folder of preprocessing.pipeline")
    flags.add_argument("now", metavar="TODAY", help="that of the next day")
    flags.add_argument("--config", help="the experiment's YAML; preprocessing.compare has the limits")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    flags.add_argument("--report", metavar="PAGE", help="writes an HTML page with all figures and plots")
    flags.add_argument(
        "--served",
        metavar="FILES",
        help="PredictionLog records of a server's requests: compared with TODAY's newest requests",
    )
    return flags.parse_args(argv)


def show(findings: Sequence[Finding], console: Console) -> None:
    """What is past its limit, and of each check the greatest changes."""
    from preprocessing.between_days.compare_page import HEADS, cells

    shown = collections.Counter[str]()
    table = Table(*HEADS, title="what changed most, as a share of what it may")
    for one in sorted(findings, key=lambda one: -one.reach):
        kind = one.check.partition(".")[0]
        shown[kind] += 1
        if one.broken or shown[kind] <= _ROWS:
            table.add_row(*cells(one), style="bold red" if one.broken else "")
    console.print(table)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    if flags.set and flags.config is None:
        raise UserError(f"--set {flags.set[0]}: it overrides a key of --config, which is not given")
    config = PreprocessingConfig()
    if flags.config is not None:
        config = load_section(flags.config, "preprocessing", PreprocessingConfig, flags.set)
    # TensorFlow comes with them: `--help` does not wait for that.
    from preprocessing.between_days.compare_folders import compare_folders, open_folder
    from preprocessing.between_days.compare_page import write_page
    from preprocessing.between_days.findings import unlike

    before, now = open_folder(flags.before), open_folder(flags.now)
    differences = unlike(before.spec, now.spec)
    if differences:
        sys.stderr.write("".join(f"another schema: {one}\n" for one in differences))
        return PAST_A_LIMIT
    found = compare_folders(before, now, config, flags.served)
    if flags.report is not None:
        write_page(flags.report, f"{before.path} and {now.path}", found)
    console = Console()
    show(found.findings, console)
    console.print(found.sizes)
    broken = [one for one in found.findings if one.broken]
    sys.stderr.write("".join(f"past its limit: {one}\n" for one in broken))
    return PAST_A_LIMIT if broken else 0


if __name__ == "__main__":
    run_command(main)
