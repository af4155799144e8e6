"""The data folder: staged aside, put in place when it is whole, and marked `_SUCCESS` or `FAILED`."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsIter

from preprocessing.command.console import UserError
from preprocessing.command.experiment import resolved_yaml
from preprocessing.config import PreprocessingConfig
from preprocessing.config_input import InputConfig, StreamConfig
from preprocessing.config_vocabularies import VocabulariesConfig
from preprocessing.data.features import CATALOGUE, PRICE, SCHEMA_VERSION, catalog_features, request_features
from preprocessing.data.stats import summarise, too_many_rejected
from preprocessing.logs.records import ATTRIBUTES

SUCCESS, FAILED, STAGING = "_SUCCESS", "FAILED", "_staging"
SPEC, STATS, CONFIG = "spec.json", "stats.json", "config.yaml"
COUNTS_FILE = "counts.json"  # staged, never placed
STARTED = f"{STAGING}/STARTED"  # whose folder it is, while there is no other mark
_MADE_HERE = re.compile(
    rf"{SUCCESS}|{FAILED}|{SPEC}|{STATS}|{CONFIG}|{STAGING}/.*|(vocab|rejected)/[^/]*"
    r"|(train|validation|eval|catalog)-\d{5,}-of-\d{5,}\.tfrecord\.gz"
)
_SUBFOLDERS = {"vocab-": "vocab", "rejected-": "rejected"}


def _is_ours(names: Collection[str]) -> bool:
    """Whether this pipeline made the folder: other programs too leave a config.yaml or an empty _SUCCESS."""
    return STARTED in names or (SPEC in names and (SUCCESS in names or FAILED in names))


class DataFolder:
    """`<data>/`, from an empty folder to a whole one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.staging = FileSystems.join(path, STAGING)

    def prepare(self) -> None:
        """Clears what an earlier run left here; a folder that this pipeline did not make is not touched."""
        names = set(self._names(self.path))
        if names and not _is_ours(names):
            raise UserError(f"--output {self.path} holds files that are not this pipeline's; name an empty folder")
        try:
            FileSystems.mkdirs(self.staging)
        except OSError as error:
            if not FileSystems.exists(self.staging):
                raise UserError(f"--output {self.path} cannot be written: {error}") from None
        self.write(STARTED, "")  # first: killed from here on, the folder is still known as ours
        for mark in (SUCCESS, FAILED):  # then the marks: from here on the folder is not whole
            self._delete(mark)
        made = [name for name in names - {STARTED, SUCCESS, FAILED} if _MADE_HERE.fullmatch(name)]
        FileSystems.delete([FileSystems.join(self.path, name) for name in made])

    def staged(self) -> list[str]:
        """The files that are whole in the staging folder."""
        return [
            name for name in self._names(self.staging) if not name.endswith(".part") and f"{STAGING}/{name}" != STARTED
        ]

    def counts(self) -> dict[str, Any]:
        """What the pipeline counted."""
        with FileSystems.open(FileSystems.join(self.staging, COUNTS_FILE)) as file:
            return json.loads(file.read())

    def vocabulary_sizes(self) -> dict[str, int]:
        """How many words each staged vocabulary has."""
        sizes = {}
        for name in self.staged():
            if name.startswith("vocab-"):
                with FileSystems.open(FileSystems.join(self.staging, name)) as file:
                    sizes[name.removeprefix("vocab-").removesuffix(".txt")] = file.read().count(b"\n")
        return sizes

    def place(self, config: PreprocessingConfig) -> dict[str, Any]:
        """Describes the staged files and moves them to their places; returns the statistics.

        Broken off anywhere, it can be done again: the statistics come first, while all files are still staged.
        """
        stats_path = FileSystems.join(self.path, STATS)
        if FileSystems.exists(stats_path):
            with FileSystems.open(stats_path) as file:
                stats = json.loads(file.read())
        else:
            sizes = self._complete_vocabularies(config)
            counts = self.counts()
            stats = summarise(counts, sizes)
            self.write(SPEC, json.dumps(describe(config, sizes, stats) | {"files": counts["files"]}, indent=1))
            self.write(CONFIG, resolved_yaml("preprocessing", config))
            self.write(STATS, json.dumps(stats, indent=1))
        for name in sorted(self.staged()):
            if name != COUNTS_FILE:
                self._move(name)
        return stats

    def close(self, mark: str, text: str = "") -> None:
        """Says how it ended; only then goes what else tells whose folder it is."""
        self.mark(mark, text)
        self._delete(STAGING)

    def _complete_vocabularies(self, config: PreprocessingConfig) -> dict[str, int]:
        """Every vocabulary in use has its file, also where the log gives it no word."""
        sizes = self.vocabulary_sizes()
        for name in (*config.text.grains, *ATTRIBUTES):
            if name not in sizes:
                self._write(FileSystems.join(self.staging, f"vocab-{name}.txt"), "")
                sizes[name] = 0
        sizes[PRICE] = config.prices.bands  # its file is the table that they are made by
        return sizes

    def _move(self, name: str) -> None:
        folder = self.path
        target = name
        for prefix, subfolder in _SUBFOLDERS.items():
            if name.startswith(prefix):
                target = name.removeprefix(prefix)
                folder = FileSystems.join(self.path, subfolder)
                if not FileSystems.exists(folder):
                    FileSystems.mkdirs(folder)
        FileSystems.rename([FileSystems.join(self.staging, name)], [FileSystems.join(folder, target)])

    def mark(self, name: str, text: str = "") -> None:
        """Says how it ended."""
        self.write(name, text)

    def write(self, name: str, text: str) -> None:
        """A small text file."""
        self._write(FileSystems.join(self.path, name), text)

    @staticmethod
    def _write(path: str, text: str) -> None:
        with FileSystems.create(path, "text/plain") as file:
            file.write(text.encode())

    def _delete(self, name: str) -> None:
        path = FileSystems.join(self.path, name)
        below = FileSystems.match([FileSystems.join(path, "**")])[0].metadata_list
        if below:  # an object store has no folders, only files whose names begin alike
            FileSystems.delete([file.path for file in below])
        if FileSystems.exists(path):
            FileSystems.delete([path])

    @staticmethod
    def _names(folder: str) -> list[str]:
        found = FileSystems.match([FileSystems.join(folder, "**")])[0].metadata_list
        return [file.path.removeprefix(folder).lstrip("/") for file in found]


def describe(config: PreprocessingConfig, sizes: Mapping[str, int], stats: Mapping[str, Any]) -> dict[str, Any]:
    """`spec.json`: all that a reader of the records must know."""
    text, buckets = config.text, {**config.vocabularies.hash_buckets(), PRICE: 0}
    width = config.input.vector_width
    requests = request_features(text.query_grains, text.title_grains, width)
    used = [name for name in (*VocabulariesConfig.model_fields, PRICE) if name in sizes]
    return {
        "schema_version": SCHEMA_VERSION,
        "requests_from": stats["requests_from"],
        "requests": [feature._asdict() for feature in requests],
        "catalog": [feature._asdict() for feature in catalog_features(text.title_grains, width)],
        "vocabularies": {
            name: {"words": sizes[name], "hash_buckets": buckets[name], "ids": 1 + buckets[name] + sizes[name]}
            for name in used
        },
        "text": text.model_dump(mode="json"),
        "prices": config.prices.model_dump(mode="json"),
        "vector_width": width,
        "history": config.history.model_dump(mode="json"),
        "stages": config.stages.model_dump(mode="json"),
        "validation_from_ms": stats["validation_from_ms"],
        "eval_from_ms": stats["eval_from_ms"],
        "examples": stats["examples"],
        "items": stats["items"],
        "click_rates": stats["click_rates"],
    }


def finish(folder: DataFolder, config: PreprocessingConfig) -> dict[str, Any]:
    """Puts everything in its place and judges it; returns the statistics. May be repeated."""
    stats = folder.place(config)
    problem = _problem(stats, config)
    folder.close(FAILED if problem else SUCCESS, json.dumps({"reason": problem}) if problem else "")
    if problem:
        raise UserError(
            f"{problem}; nothing was marked usable, see {folder.path}/rejected and {folder.path}/stats.json"
        )
    return stats


def finish_inside(written: beam.PCollection, folder: DataFolder, config: PreprocessingConfig) -> None:
    """The same as a step of the job itself, behind all that writes: for a launcher that does not wait."""
    written.pipeline | "Once" >> beam.Create([folder]) | "Finish" >> beam.Map(_finish, config, AsIter(written))


def _finish(folder: DataFolder, config: PreprocessingConfig, written: Iterable[str]) -> None:
    finish(folder, config)


def _problem(stats: dict[str, Any], config: PreprocessingConfig) -> str | None:
    rejected = too_many_rejected(stats, config.input.max_rejected_share)
    if rejected:
        return f"{rejected}; preprocessing.input.max_rejected_share allows more"
    never = _never_filled(stats, config.input)
    if never:
        return never
    if config.input.vector_width and stats["streams"]["catalog"]["empty_share"]["vector"] == 1.0:
        return "catalog: no record has a vector; name its column in preprocessing.input.catalog.columns"
    if stats["requests_from"] == CATALOGUE and not all(stats["examples"].values()):
        return (
            f"catalog: {sum(stats['examples'].values())} of {stats['items']:,} live items have a word to ask for them "
            "by; without searches there must be three, one each to train, to validate and to evaluate"
        )
    validation, evaluation = stats["validation_from"], stats["eval_from"]
    spans = {
        "train": f"before {validation}",
        "validation": f"from {validation} until {evaluation}",
        "eval": f"from {evaluation}",
    }
    for split, span in spans.items():
        if not stats["examples"][split]:
            return (
                f"no {split} example came out: no request {span} has an action on a known item "
                "(preprocessing.split decides these moments)"
            )
    return None


def _never_filled(stats: dict[str, Any], config: InputConfig) -> str | None:
    """A field that the config maps and no record fills is a wrong name, though the field be optional."""
    for name, stream in stats["streams"].items():
        settings: StreamConfig | None = getattr(config, name, None)
        for field, column in (settings.columns if isinstance(settings, StreamConfig) else {}).items():
            if stream["empty_share"].get(field) == 1.0:
                return (
                    f"{name}: {field} is empty in all {stream['in']:,} records: is {column!r} in "
                    f"preprocessing.input.{name}.columns its name there?"
                )
    return None
