"""Two data folders side by side: their accounts, and a sample of their records."""

from __future__ import annotations

import datetime
import json
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from preprocessing.between_days.findings import Finding, of_drift, of_records, of_stats, of_vocabularies
from preprocessing.between_days.sample_records import SPLITS, Sample, Words, read_words, sample
from preprocessing.between_days.served_requests import served_sample
from preprocessing.command.console import UserError, progress
from preprocessing.config import PreprocessingConfig
from preprocessing.data.data_folder import SPEC, STATS, SUCCESS
from preprocessing.data.features import HORIZONS

ASKED = "asked"  # as a split: the records' newest requests, and the server's
_PASTS = ("history_word", *(f"{horizon}_item" for horizon in HORIZONS))


class Folder(NamedTuple):
    """A whole data folder."""

    path: str
    spec: dict[str, Any]
    stats: dict[str, Any]


class Comparison(NamedTuple):
    """What was found."""

    findings: list[Finding]
    samples: dict[str, tuple[Sample, Sample]]  # of both days, by split

    @property
    def sizes(self) -> str:
        """How much was looked at."""
        records = (f"{split} {one.records:,} and {two.records:,}" for split, (one, two) in self.samples.items())
        return f"Accounts are of all records, the rest of a sample: {', '.join(records)} records."


def open_folder(path: str) -> Folder:
    """Its spec and its accounts."""
    path = path.rstrip("/")
    if not FileSystems.exists(FileSystems.join(path, SUCCESS)):
        raise UserError(f"{path}: no {SUCCESS} in it; run python -m preprocessing.pipeline to its end first")
    spec, stats = (_read_json(FileSystems.join(path, name)) for name in (SPEC, STATS))
    return Folder(path, spec, stats)


def compare_folders(before: Folder, now: Folder, config: PreprocessingConfig, served: str | None) -> Comparison:
    """Compares two folders of one schema, and the newest requests with what a server was asked, if it says where."""
    limits, passed_over = config.compare, _PASTS if _begins(before) else ()
    found = Comparison(list(of_stats(before.stats, now.stats, limits)), {})
    words = (read_words(before.path, before.spec), read_words(now.path, now.spec))
    with progress("reading, comparing", len(SPLITS)) as bar:
        for split in SPLITS:
            first, second = (
                sample(one.path, split, one.spec, known, limits.requests, config.seed)
                for one, known in zip((before, now), words, strict=True)
            )
            if first.records and second.records:
                found.samples[split] = (first, second)
                found.findings.extend(_of_split(split, (first, second), words, config, passed_over))
            bar.advance()
    if served is not None and "eval" in found.samples:
        asked = served_sample(served, now.path, now.spec, words[1], limits.requests, config.seed)
        found.samples[ASKED] = (found.samples["eval"][1], asked)
        found.findings.extend(_of_split(ASKED, found.samples[ASKED], (words[1], words[1]), config, ()))
    return found


def _of_split(
    split: str,
    days: tuple[Sample, Sample],
    words: tuple[dict[str, Words], dict[str, Words]],
    config: PreprocessingConfig,
    passed_over: Collection[str],
) -> Iterator[Finding]:
    yield from of_records(split, *days, config.compare, passed_over)
    yield from of_vocabularies(split, days, words, config.compare)
    yield from of_drift(split, *days, config.compare, config.seed)


def _begins(folder: Folder) -> bool:
    """Whether its log is so short that pasts still grow from day to day."""
    first, last = (datetime.datetime.fromisoformat(one) for one in folder.stats["searches_from_to"])
    return (last - first).days < folder.spec["history"]["long_days"]


def _read_json(path: str) -> dict[str, Any]:
    with FileSystems.open(path) as file:
        return dict(json.loads(file.read()))
