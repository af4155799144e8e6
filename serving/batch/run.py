"""Runs a batch job from its files to its output, on whichever runner the flags name."""

from __future__ import annotations

from collections.abc import Sequence

from apache_beam.options.pipeline_options import GoogleCloudOptions

from preprocessing.command.console import UserError, counted_progress
from preprocessing.command.runners import beam_options, new_pipeline, run_to_end
from preprocessing.logs.sources import Source
from serving.batch.beam_graph import build
from serving.batch.finish import Outcome, finish, finish_inside
from serving.batch.job import Job
from serving.batch.output_folder import BatchFolder

_OWN_FLAGS = ("--mode", "--input", "--output", "--job-dir", "--model", "--target", "--k", "--format", "--shards")

# What the bytes of a row cost, beside those of an item: from some seconds' work on, this machine's cores share it.
_WEIGHTS = {"embed": 1, "retrieve": 16}


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
        written = build(pipeline, job, source, folder.staging, known, job.name(before))
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
