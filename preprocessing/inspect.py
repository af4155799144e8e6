"""python -m preprocessing.inspect: what unknown logs hold, and the config that reads them."""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags
from preprocessing.inspection.field_facts import FieldFacts, facts_of
from preprocessing.inspection.file_sets import FileSet, Sample, file_sets, sample
from preprocessing.inspection.proposal import Looked, Proposal, input_section, propose
from preprocessing.inspection.tried import Known, Tried, in_common, try_config

_HELP = """\
Looks at the log files of a folder: which belong together, what their fields hold, which are the catalogue, the searches
and the actions. It proposes the config that reads them, tries it on what was read, and says what is missing. Nothing is
changed. What it proposes is a guess by names, values and ids in common: read it before you use it.

examples:
  python -m preprocessing.inspect shop/logs
  python -m preprocessing.inspect gs://bucket/logs --output shop.yaml
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(prog="python -m preprocessing.inspect", description=_HELP)
    flags.add_argument("logs", metavar="LOGS", help="folder of the files")
    flags.add_argument("--records", type=int, default=5_000, help="read of each log at most (default %(default)s)")
    flags.add_argument("--output", type=Path, metavar="YAML", help="a new file for the proposed config")
    given = flags.parse_args(argv)
    if given.records < 1:
        raise UserError(f"--records {given.records}: at least 1")
    if given.output is not None and given.output.exists():
        raise UserError(f"--output {given.output} exists; name a new file")
    return given


def main(argv: list[str] | None = None) -> int:
    """The command."""
    given = arguments(argv)
    console = Console()
    sets = file_sets(given.logs)
    samples = [sample(files, given.records) for files in sets]
    looked = [
        Looked(files.pattern, facts_of(one.documents), len(one.documents))
        for files, one in zip(sets, samples, strict=True)
    ]
    proposal = propose([one for one in looked if one.records])
    for files, taken, one in zip(sets, samples, looked, strict=True):
        console.print(_table(files, taken, one, _name(proposal, one)))
    section = input_section(proposal)
    by_pattern = {one.pattern: taken.documents for one, taken in zip(looked, samples, strict=True)}
    documents = {name: by_pattern[stream.looked.pattern] for name, stream in proposal.streams.items()}
    if proposal.whole is not None:
        documents[proposal.whole.format] = by_pattern[proposal.whole.looked.pattern]
    tried = try_config(section, documents)
    for line in _findings(proposal, tried):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    config = yaml.safe_dump({"preprocessing": {"input": section}}, sort_keys=False, allow_unicode=True)
    console.print(f"\nThe config that reads this:\n\n{config}", markup=False, highlight=False, soft_wrap=True)
    if given.output is not None:
        given.output.write_text(config, encoding="utf-8")
        console.print(f"written to {given.output}", markup=False, highlight=False)
    return 0


def _name(proposal: Proposal, looked: Looked) -> str:
    """What a set of files is taken for."""
    if proposal.whole is not None and looked is proposal.whole.looked:
        return _SCHEMAS[proposal.whole.format]
    return next((name for name, one in proposal.streams.items() if one.looked is looked), "none of our streams")


def _table(files: FileSet, taken: Sample, looked: Looked, name: str) -> Table:
    count = f"{len(files.paths)} files" if len(files.paths) > 1 else "1 file"
    broken = "".join(f", {times} {reason}" for reason, times in taken.unreadable.items())
    table = Table(
        title=f"{files.pattern}: {name} ({count}, {files.size:,} bytes; {looked.records:,} records read{broken})"
    )
    for column in ("field", "holds", "empty", "distinct", "examples"):
        table.add_column(column, overflow="fold")
    for path, facts in looked.facts.items():
        empty = 1 - facts.there / looked.records
        table.add_row(path, _holds(facts), f"{empty:.1%}", f"{len(facts.known):,}", " · ".join(facts.examples))
    return table


def _holds(facts: FieldFacts) -> str:
    kinds = "lists" if facts.of_list else " or ".join(kind for kind, _ in facts.kinds.most_common())
    if facts.are_times:
        return f"{kinds}: times, {_day(min(facts.times))} to {_day(max(facts.times))}"
    return kinds


def _day(milliseconds: int) -> str:
    return datetime.datetime.fromtimestamp(milliseconds / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M")


def _findings(proposal: Proposal, tried: Mapping[str, Tried]) -> list[str]:
    """Line by line what works, and what is missing."""
    lines = [""]
    for name, one in tried.items():
        reasons = ", ".join(f"{times} {reason}" for reason, times in one.left_out.most_common())
        lines.append(
            f"{name}: {one.used:,} of {one.read:,} records can be used{f' (not: {reasons})' if reasons else ''}"
        )
    lines += [_in_common(known) for known in in_common(tried)]
    for name, stream in proposal.streams.items():
        lines += [f"missing: {name} has no field for {field}" for field in stream.missing]
    if proposal.whole is None:
        lines += [says for name, says in _LACKING.items() if name not in proposal.streams]
        if not {"searches", "actions"} & proposal.streams.keys():
            lines.append("of a catalogue alone, each item asks for itself: configs/first_day.yaml")
    none = [theirs for theirs, ours in proposal.actions.items() if ours is None]
    if none:
        lines.append(f"left out as none of click, collect, cart and order: {', '.join(none)}")
    return lines


def _in_common(known: Known) -> str:
    none = "" if known.found else ": are these the same ids? Of none the joins find nothing"
    return f"{known.found:,} of {known.of:,} {known.says}{none}"


_SCHEMAS = {"ubi": "User Behavior Insights", "ga4": "Google Analytics 4"}
_LACKING = {
    "catalog": "missing: a catalogue (item_id, title; brand, category_leaf, ...); without it items are ids alone",
    "searches": "missing: searches (request_id, ts, user_id, query, results in shown order)",
    "actions": "missing: actions (ts, user_id, item_id, action)",
}


if __name__ == "__main__":
    run_command(main)
