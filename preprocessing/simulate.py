"""python -m preprocessing.simulate: the simulated marketplace's raw logs, and its ground truth apart."""

from __future__ import annotations

import argparse
import collections
import contextlib
import gzip
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from apache_beam.io.filesystem import CompressionTypes
from apache_beam.io.filesystems import FileSystems
from rich.console import Console
from rich.table import Table

from preprocessing.command.console import UserError, progress, run_command
from preprocessing.command.flags import Flags
from preprocessing.marketplace.market import Day, Market
from preprocessing.marketplace.profiles import PROFILES
from preprocessing.marketplace.truth import Truth
from preprocessing.marketplace.world import make_world

VERSION = 2
_TRUTH_DAYS, _TRUTH_QUERIES = 3, 300
_SHOPPERS_QUERIES = 5
_DAYS, _SEED, _PROFILE = 40, 17, "marketplace"
_PARTIAL = ".partial"
_HELP = """\
Writes the raw logs of a simulated marketplace: catalog, searches and actions as the pipeline reads them, and under
truth/ graded relevance over the whole catalogue, to queries and to users' queries, which training never reads. The same
seed gives the same bytes.

examples:
  python -m preprocessing.simulate --output out/raw --items 20000 --users 5000 --days 40
  python -m preprocessing.simulate --output out/raw --profile small-shop
"""


class Counts(NamedTuple):
    """What came out."""

    items: int
    searches: int
    searches_with_click: int
    actions: dict[str, int]


class OutputFiles:
    """Files that appear together: written under another name, renamed when all are whole."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._open: dict[str, Any] = {}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> OutputFiles:
        return self

    def write(self, name: str, records: Iterable[dict[str, Any]]) -> None:
        """Appends lines to a file."""
        path = FileSystems.join(self._folder, *name.split("/"))
        if path not in self._open:
            self._open[path] = self._stack.enter_context(self._create(path))
        self._open[path].write(b"".join(orjson.dumps(record) + b"\n" for record in records))

    def _create(self, path: str) -> contextlib.AbstractContextManager[Any]:
        partial = FileSystems.create(f"{path}{_PARTIAL}", compression_type=CompressionTypes.UNCOMPRESSED)
        if not path.endswith(".gz"):
            return partial
        # Neither time nor name in the header: the same seed gives the same bytes.
        return gzip.GzipFile(
            filename="", mode="wb", compresslevel=4, fileobj=self._stack.enter_context(partial), mtime=0
        )

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._stack.close()
        partials = [f"{path}{_PARTIAL}" for path in self._open]
        if kind is None:
            FileSystems.rename(partials, list(self._open))
        else:
            FileSystems.delete(partials)


def simulate(
    output: str | Path, items: int, users: int, days: int = _DAYS, seed: int = _SEED, profile: str = _PROFILE
) -> Counts:
    """Writes everything; the last file to appear is `simulation.json`."""
    arguments = {"items": items, "users": users, "days": days, "seed": seed, "profile": profile}
    world = make_world(items, users, days, seed, profile)
    market, truth = Market(world), Truth(world)
    actions: collections.Counter[str] = collections.Counter()
    searches = clicked = 0
    with OutputFiles(str(output)) as files, progress("days", total=days) as bar:
        files.write("catalog.jsonl.gz", world.catalog.records(world.lexicon))
        for number, day in enumerate(market.days(days)):
            files.write("searches.jsonl.gz", day.searches)
            files.write("actions.jsonl.gz", day.actions)
            if number >= days - _TRUTH_DAYS:
                for _, user, query in day.queries:
                    truth.add(user, query)
                files.write("truth/searches.jsonl.gz", (truth.search(one, query) for one, _, query in day.queries))
            searches += len(day.searches)
            clicked += _clicked(day)
            actions.update(action["action"] for action in day.actions)
            bar.advance()
        if truth.is_empty():
            raise UserError(f"--users {users}: nobody searched in the last {_TRUTH_DAYS} days; give more users")
        for name, records in _truth(truth, world.random):
            files.write(name, records)
        counts = Counts(items, searches, clicked, dict(sorted(actions.items())))
        files.write("simulation.json", [{"version": VERSION, **arguments, "counts": counts._asdict()}])
    return counts


def _clicked(day: Day) -> int:
    """Searches with a click, of those that the actions name."""
    return len({action["request_id"] for action in day.actions if "request_id" in action})


def _truth(truth: Truth, random: np.random.Generator) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for query, segment in truth.sample(_TRUTH_QUERIES, random):
        yield "truth/queries.jsonl", [{"query": query, "segment": segment, "intents": truth.intents(query)}]
        yield "truth/judgments.jsonl.gz", list(truth.judgments(query))
        yield "truth/personal.jsonl.gz", list(truth.personal(query))
    yield "truth/shoppers.jsonl.gz", list(truth.shoppers(_SHOPPERS_QUERIES))


def _print(counts: Counts, output: str, console: Console) -> None:
    table = Table("what", "count", title="simulated marketplace")
    table.add_row("items", f"{counts.items:,}")
    table.add_row("searches", f"{counts.searches:,}")
    for action, count in counts.actions.items():
        table.add_row(action, f"{count:,}")
    table.add_row("searches with a click", f"{counts.searches_with_click / counts.searches:.0%}")
    console.print(table)
    console.print(f"raw logs are in {output}; next: python -m preprocessing.pipeline --input {output} ...")


def _defaults(name: str) -> str:
    return "default " + ", ".join(f"{getattr(one, name)} for {kind}" for kind, one in PROFILES.items())


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = Flags(
        prog="python -m preprocessing.simulate",
        description=_HELP,
    )
    flags.add_argument("--output", required=True, help="folder for the logs")
    flags.add_argument("--profile", choices=PROFILES, default=_PROFILE, help="kind of shop (default %(default)s)")
    flags.add_argument("--items", type=int, help=f"items in the catalogue ({_defaults('items')})")
    flags.add_argument("--users", type=int, help=f"users ({_defaults('users')})")
    flags.add_argument("--days", type=int, default=_DAYS, help="days of log (default %(default)s)")
    flags.add_argument(
        "--seed", type=int, default=_SEED, help="the same seed gives the same bytes (default %(default)s)"
    )
    arguments = flags.parse_args(argv)
    for name in ("items", "users"):
        if getattr(arguments, name) is None:
            setattr(arguments, name, getattr(PROFILES[arguments.profile], name))
    for name, least in {"items": 200, "users": 10, "days": 5, "seed": 0}.items():
        if getattr(arguments, name) < least:
            raise UserError(f"--{name} {getattr(arguments, name)}: at least {least} is needed")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """The command."""
    arguments = _arguments(argv)
    try:
        counts = simulate(**vars(arguments))
    except (OSError, ValueError) as error:  # the latter: no such file system here
        raise UserError(f"--output {arguments.output} cannot be written: {error}") from None
    _print(counts, arguments.output, Console())
    return 0


if __name__ == "__main__":
    run_command(main)
