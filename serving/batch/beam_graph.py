"""The graph of a batch job."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.ml.inference.base import RunInference

from preprocessing.data.record_files import write_file
from preprocessing.logs.sources import Source
from serving.batch.answer_files import ENDINGS
from serving.batch.inputs import ReadRows, document_loader
from serving.batch.job import Job
from serving.batch.output_folder import COUNTS_FILE, REJECTED_FILE
from serving.batch.steps import COUNTS, PARTS, REJECTED, Assemble, CarryOver, KeepParts, Known, Parse, WriteLines


def build(
    pipeline: beam.Pipeline, job: Job, source: Source, staging: str, known: Sequence[Known], name: str
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
    path = FileSystems.join(staging, f"{name}-{{shard:05d}}-of-{job.shards:05d}{ENDINGS[job.format]}")
    written = (
        (todo[PARTS], answers.parts)
        | "All parts" >> beam.Flatten()
        | "Parts by shard" >> beam.GroupByKey()
        | "Assemble" >> beam.ParDo(Assemble(job.id_name, path))
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
