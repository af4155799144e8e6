"""python -m preprocessing.adapt: a published data set as the raw streams that the pipeline reads, and judgments."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

from rich.console import Console
from rich.table import Table

from preprocessing.adapters import esci, judged, movielens, ubi_dumps, wands
from preprocessing.adapters.raw_folder import JUDGMENTS, RawFolder
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

ADAPTERS: dict[str, ModuleType] = {
    "judged": judged,
    "ubi": ubi_dumps,
    "esci": esci,
    "wands": wands,
    "movielens": movielens,
}
_HELP = """\
Turns a published data set into the three raw streams that preprocessing.pipeline reads (catalog, searches, actions)
and judgments.jsonl.gz, which trainer.evaluate --judgments reads. The folder appears whole or not at all.

examples:
  python -m preprocessing.adapt judged --products p.jsonl --judgments j.jsonl --stages 'ordered>=3,clicked>=2' out/raw

Each KIND has its own --help, which says what its labels mean.
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(prog="python -m preprocessing.adapt", description=_HELP)
    kinds = flags.add_subparsers(dest="kind", required=True, metavar="KIND")
    for name, adapter in ADAPTERS.items():
        one = kinds.add_parser(name, help=adapter.SUMMARY, description=adapter.HELP)
        adapter.add_flags(one)
        one.add_argument("output", type=Path, metavar="raw/", help="folder for the streams")
    return flags.parse_args(argv)


def adapt(given: argparse.Namespace) -> RawFolder:
    """Runs the adapter of `given.kind`."""
    run: Callable[[argparse.Namespace, RawFolder], None] = ADAPTERS[given.kind].adapt
    try:
        with RawFolder(given.output.absolute(), given.kind) as raw:
            run(given, raw)
    except OSError as error:
        raise UserError(f"output {given.output} cannot be written: {error}") from None
    return raw


def main(argv: list[str] | None = None) -> int:
    """The command."""
    given = arguments(argv)
    raw = adapt(given)
    table = Table("what", "count", title=f"{given.kind} as raw streams")
    for what, number in raw.counts.items():
        table.add_row(what, f"{number:,}")
    console = Console()
    console.print(table)
    judgments = f"; judgments: {given.output / JUDGMENTS}" if (given.output / JUDGMENTS).exists() else ""
    console.print(
        f"raw logs are in {given.output}{judgments}; next: python -m preprocessing.pipeline "
        f"--config {ADAPTERS[given.kind].CONFIG} --input {given.output} ...",
        soft_wrap=True,
    )
    return 0


if __name__ == "__main__":
    run_command(main)
