"""Runs a batch job from its files to its output, on whichever runner the flags name."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference
from apache_beam.options.pipeline_options import GoogleCloudOptions

from preprocessing.command.console import UserError, counted_progress
from preprocessing.command.runners import beam_options, new_pipeline, run_to_end
from preprocessing.data.record_files import write_file
from preprocessing.logs.sources import Source
from serving.batch.answer_files import ENDINGS
from serving.batch.commit import Outcome, finish, finish_inside
from serving.batch.feeds import FEEDS
from serving.batch.input_files import ReadRows, document_loader
from serving.batch.jobs import Job
from serving.batch.output_folder import COUNTS_FILE, REJECTED_FILE, BatchFolder, make_folder
from serving.batch.steps import COUNTS, PARTS, REJECTED, Assemble, CarryOver, KeepParts, Known, Parse, WriteLines

_OWN_FLAGS = (
    "--mode",
    "--input",
    "--output",
    "--job-dir",
    "--model",
    "--target",
    "--shard-map",
    "--k",
    "--format",
    "--shards",
)

# What the bytes of a row cost, beside those of an item: from some seconds' work on, this machine's cores share it.
_WEIGHTS = {"embed": 1, "retrieve": 16, "similar": 16}


class JobStopped(Exception):
    """The job broke off on the way; the cause may be the machine's, the cluster's or a file's."""


def run(job: Job, source: Source, flags: Sequence[str] = ()) -> Outcome | None:
    """Runs the job to its end. Broken off, the same call goes on where it was. A template is launched: None."""
    options = beam_options(flags, _OWN_FLAGS, source.size * _WEIGHTS[job.mode])
    template = options.view_as(GoogleCloudOptions).template_location is not None
    folder = BatchFolder(job.output)
    with folder.locked() as still_held:
        known = folder.prepare(job.identity)
        before = folder.manifest()
        if before is not None and before["mode"] != job.mode:
            raise UserError(f"--output {job.output} is of --mode {before['mode']}; name another folder")
        if job.comparable(before):
            known += folder.in_place()
        pipeline = new_pipeline(options)
        feed_name = job.feed_name(before)
        if feed_name is not None:
            make_folder(FileSystems.join(folder.staging, feed_name))
        written = build(pipeline, job, source, folder.staging, known, job.name(before), feed_name)
        if template:
            finish_inside(pipeline, written, job, before)
        try:
            name = job.name(before)
            with counted_progress(f"{job.mode}: shards", job.shards, lambda: len(folder.staged(name))):
                run_to_end(pipeline)
        except Exception as error:
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise JobStopped(f"the job stopped: {cause[-1]}; the same command goes on from there") from error
        still_held()
        return None if template else finish(job, before)


def build(
    pipeline: beam.Pipeline,
    job: Job,
    source: Source,
    staging: str,
    known: Sequence[Known],
    name: str,
    feed_name: str | None = None,
) -> list[beam.PCollection]:
    """From the source's files to the staging folder's; returns what is there once all of them are."""
    load = document_loader(source, job.columns)
    parse = Parse(load, job.parse, job.schema, job.shards)
    rows = pipeline | ReadRows(source) | "Parse" >> beam.ParDo(parse).with_outputs(COUNTS, REJECTED, main="rows")
    carry_over = CarryOver(job.id_name, staging, job.shards, known, job.handler.block)
    todo = (
        rows.rows
        | "By shard" >> beam.GroupByKey()
        | "Carry over" >> beam.ParDo(carry_over).with_outputs(COUNTS, REJECTED, PARTS, main="todo")
    )
    answers = (
        todo.todo
        | "Infer" >> RunInference(job.handler)
        | "Keep" >> beam.ParDo(KeepParts(staging, job.shards)).with_outputs(COUNTS, REJECTED, main="parts")
    )
    table = f"{name}-{{shard:05d}}-of-{job.shards:05d}{ENDINGS.get(job.format, ENDINGS['parquet'])}"
    assemble = Assemble(job.id_name, FileSystems.join(staging, table))
    if feed_name is not None:
        feed = FEEDS[job.format]
        fed = FileSystems.join(staging, feed_name, f"{{shard:05d}}-of-{job.shards:05d}{feed.ending}")
        assemble = Assemble(job.id_name, FileSystems.join(staging, table), feed, fed)
    written = (
        (todo[PARTS], answers.parts)
        | "All parts" >> beam.Flatten()
        | "Parts by shard" >> beam.GroupByKey()
        | "Assemble" >> beam.ParDo(assemble)
    )
    rejected = (
        (rows[REJECTED], todo[REJECTED], answers[REJECTED])
        | "All rejected" >> beam.Flatten()
        | "Together" >> beam.WithKeys("")
        | "Rejected" >> beam.GroupByKey()
        | "Write rejected" >> beam.ParDo(WriteLines(FileSystems.join(staging, REJECTED_FILE)))
    )
    counted = (
        (rows[COUNTS], todo[COUNTS], answers[COUNTS], written)
        | "All counts" >> beam.Flatten()
        | "Add up" >> beam.CombinePerKey(sum)
        | "Count list" >> beam.combiners.ToList()
        | "Write counts" >> beam.Map(_write_counts, FileSystems.join(staging, COUNTS_FILE))
    )
    return [rejected, counted]


def _write_counts(counts: list[Any], path: str) -> None:
    write_file(path, [json.dumps(counts).encode()])
