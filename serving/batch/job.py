"""A batch job from its files to its output, on whichever runner the flags name."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import datetime
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import apache_beam as beam
import pyarrow
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import ModelHandler, RunInference

from preprocessing.console import UserError, progress
from preprocessing.runners import beam_options, new_pipeline
from preprocessing.shards import write_file
from preprocessing.sources import Source
from serving.batch.folder import COUNTS_FILE, REJECTED_FILE, BatchFolder
from serving.batch.rows import Row
from serving.batch.sources import ReadRows, document_loader
from serving.batch.steps import COUNTS, PARTS, REJECTED, Assemble, CarryOver, KeepParts, Known, Parse, WriteLines
from serving.batch.tables import ENDINGS, Record

_OWN_FLAGS = ("--mode", "--input", "--output", "--job-dir", "--model", "--target", "--k", "--format", "--shards")


class JobStopped(Exception):
    """The job broke off on the way; the cause may be the machine's, the cluster's or a file's."""


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked of a model, and where the answers go."""

    mode: str  # embed or retrieve
    id_name: str
    parse: Callable[[Mapping[str, Any]], Row]
    handler: ModelHandler
    table: Callable[[Sequence[Record]], pyarrow.Table]
    identity: dict[str, Any]  # of the model: answers of another are not carried over
    incremental: bool  # whether the output in place is, too, carried over
    output: str
    format: str
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    shards: int = 16
    max_rejected_share: float = 0.05


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    manifest: dict[str, Any]
    changed: bool  # whether the output is another than before


def run(job: Job, source: Source, flags: Sequence[str] = ()) -> Outcome:
    """Runs the job to its end. Broken off, the same call goes on where it was."""
    options = beam_options(flags, _OWN_FLAGS, source.size)
    folder = BatchFolder(job.output)
    with folder.locked():
        known = folder.prepare(job.identity)
        before = folder.manifest()
        if before is not None and before["mode"] != job.mode:
            raise UserError(f"--output {job.output} is of --mode {before['mode']}; name another folder")
        if before is not None and job.incremental and before["identity"] == job.identity:
            known += folder.in_place()
        name = _name(job, before)
        pipeline = new_pipeline(options)
        build(pipeline, job, source, folder.staging, known, name)
        try:
            with _shown_progress(folder, job, name):
                pipeline.run().wait_until_finish()
        except Exception as error:
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise JobStopped(f"the job stopped: {cause[-1]}; the same command goes on from there") from error
        return _finish(job, folder, before, name)


def _name(job: Job, before: dict[str, Any] | None) -> str:
    """Of the output's files: no two runs' names meet, so that a reader of the last run's is never disturbed."""
    generation = before["generation"] + 1 if before else 1
    kind = "vectors" if job.mode == "embed" else "answers"
    return f"{kind}-{generation:05d}"


def build(pipeline: beam.Pipeline, job: Job, source: Source, staging: str, known: Sequence[Known], name: str) -> None:
    """The graph."""
    load = document_loader(source, job.columns)
    rows = (
        pipeline
        | ReadRows(source)
        | "Parse" >> beam.ParDo(Parse(load, job.parse, job.shards)).with_outputs(COUNTS, REJECTED, main="rows")
    )
    todo = (
        rows.rows
        | "By shard" >> beam.GroupByKey()
        | "Carry over"
        >> beam.ParDo(CarryOver(job.id_name, staging, job.shards, known)).with_outputs(
            COUNTS, REJECTED, PARTS, main="todo"
        )
    )
    answers = (
        todo.todo
        | "Infer" >> RunInference(job.handler)
        | "Keep" >> beam.ParDo(KeepParts(staging, job.shards, job.table)).with_outputs(COUNTS, REJECTED, main="parts")
    )
    path = FileSystems.join(staging, f"{name}-{{shard:05d}}-of-{job.shards:05d}{ENDINGS[job.format]}")
    written = (
        (todo[PARTS], answers.parts)
        | "All parts" >> beam.Flatten()
        | "Parts by shard" >> beam.GroupByKey()
        | "Assemble" >> beam.ParDo(Assemble(job.id_name, path))
    )
    _ = (
        (rows[REJECTED], todo[REJECTED], answers[REJECTED])
        | "All rejected" >> beam.Flatten()
        | "Together" >> beam.WithKeys("")
        | "Rejected" >> beam.GroupByKey()
        | "Write rejected" >> beam.ParDo(WriteLines(FileSystems.join(staging, REJECTED_FILE)))
    )
    _ = (
        (rows[COUNTS], todo[COUNTS], answers[COUNTS], written)
        | "All counts" >> beam.Flatten()
        | "Add up" >> beam.CombinePerKey(sum)
        | "Count list" >> beam.combiners.ToList()
        | "Write counts" >> beam.Map(_write_counts, FileSystems.join(staging, COUNTS_FILE))
    )


def _write_counts(counts: list[Any], path: str) -> None:
    write_file(path, [json.dumps(counts).encode()])


@contextlib.contextmanager
def _shown_progress(folder: BatchFolder, job: Job, name: str) -> Iterator[None]:
    """A bar of the shards that come out; the clock beside it tells that work goes on."""
    done = threading.Event()

    def watch() -> None:
        seen = 0
        while not done.wait(1):
            with contextlib.suppress(Exception):  # a bar must never end the work
                now = len(folder.staged(name))
                bar.advance(now - seen)
                seen = now

    with progress(f"{job.mode}: shards", total=job.shards) as bar:
        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _finish(job: Job, folder: BatchFolder, before: dict[str, Any] | None, name: str) -> Outcome:
    """Judges what the job counted, and puts its files in their places."""
    totals: collections.Counter[tuple[str, ...]] = collections.Counter()
    totals.update({tuple(key): count for key, count in folder.counts()})
    rejected = {key[1]: count for key, count in sorted(totals.items()) if key[0] == "rejected"}
    excluded = {key[1]: count for key, count in sorted(totals.items()) if key[0] == "excluded"}
    counts = {one: totals[one,] for one in ("in", "written", "added", "changed", "unchanged", "computed")}
    comparable = before is not None and job.incremental and before["identity"] == job.identity
    earlier = before["counts"]["written"] if before is not None and comparable else 0
    counts["removed"] = earlier - counts["unchanged"] - counts["changed"]
    _judge(job, folder, counts["in"], rejected, counts["written"])
    files = folder.staged(name)
    rejected_file = f"rejected-{name.split('-')[1]}.jsonl" if rejected else None
    manifest = {
        "mode": job.mode,
        "identity": job.identity,
        "generation": before["generation"] + 1 if before else 1,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "format": job.format,
        "shards": job.shards,
        "counts": counts,
        "rejected": rejected,
        "excluded": excluded,
        "rejected_file": rejected_file,
        "files": files,
    }
    if before is not None and comparable and _same(manifest, before):
        folder.discard()
        return Outcome({**before, "counts": counts}, changed=False)
    if rejected_file:
        aside = FileSystems.join(folder.staging, REJECTED_FILE)
        FileSystems.rename([aside], [FileSystems.join(folder.staging, rejected_file)])
    folder.publish([*files, *([rejected_file] if rejected_file else [])], manifest)
    return Outcome(manifest, changed=True)


def _same(manifest: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a run found nothing but what is in place."""
    settings = all(manifest[name] == before[name] for name in ("format", "shards", "rejected", "excluded"))
    return settings and not any(manifest["counts"][name] for name in ("added", "changed", "removed", "computed"))


def _judge(job: Job, folder: BatchFolder, records: int, rejected: dict[str, int], written: int) -> None:
    bad = sum(rejected.values())
    share = bad / records if records else 0.0
    listed = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
    if not written:
        raise UserError(f"--input: none of its {records} records can be used ({listed or 'it is empty'})")
    if share > job.max_rejected_share:
        where = FileSystems.join(folder.staging, REJECTED_FILE)
        raise UserError(
            f"{bad} of {records} records were rejected ({listed}); see {where}; --max-rejected-share allows more"
        )
