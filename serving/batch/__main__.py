"""python -m serving.batch: a catalogue to vectors, queries to their best items, or items to their like: a Beam job."""

from __future__ import annotations

import argparse
import logging
from collections.abc import Sequence
from typing import Any

from preprocessing.command.console import UserError, fail, run_command
from preprocessing.command.flags import Flags
from serving.batch.commit import Outcome
from serving.batch.inference import Servers
from serving.batch.input_files import find
from serving.batch.jobs import Job
from serving.batch.output_folder import MANIFEST
from serving.batch.run import JobStopped, run

_HELP = """\
Runs the exported model over many rows, on any runner that Apache Beam knows.

  --mode embed     a catalogue -> a vector for each item. Only items that are new or changed since the last run into the
                   same --output pass through the model; the vectors of the others are carried over.
  --mode retrieve  queries, with or without their users' history -> the K best items of each.
  --mode similar   items, such as a catalogue's -> the K items most like each.

A row that cannot be used goes to rejected-*.jsonl with its reason. The output appears when it is complete; the
same command resumes an interrupted run.

examples:
  python -m serving.batch --mode embed --input out/data --job-dir out/job --output out/vectors
  python -m serving.batch --mode embed --input "raw/catalog*.jsonl" --model out/models/retrieval --output out/vectors \\
      --format tfrecord --direct_running_mode=multi_processing --direct_num_workers=2
  python -m serving.batch --mode embed --input out/data --job-dir out/job --output out/feed --format opensearch
  python -m serving.batch --mode retrieve --input queries.jsonl --model out/models/retrieval --output out/answers --k 50
  python -m serving.batch --mode retrieve --input queries.parquet --target localhost:8500 --output out/answers
  python -m serving.batch --mode similar --input out/data --model out/models/retrieval --output out/similar --k 20
"""
_ANSWERS, _STORES = ("parquet", "jsonl"), ("opensearch", "vespa", "vertex")
_FORMATS = {"embed": ("parquet", "tfrecord", *_STORES), "retrieve": _ANSWERS, "similar": _ANSWERS}


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our flags, and the rest for Beam."""
    flags = Flags(
        others=True,
        prog="python -m serving.batch",
        description=_HELP,
        epilog="Every other flag is Beam's own (--runner, --direct_num_workers, --parallelism, ...).",
    )
    flags.add_argument("--mode", required=True, choices=(*_FORMATS,))
    flags.add_argument(
        "--input", required=True, help="a file, a pattern, or (not retrieve) a folder of preprocessing.pipeline"
    )
    flags.add_argument("--output", required=True, help="a folder; batch.json in it names the files of the last run")
    flags.add_argument("--job-dir", help="embed with a job's item tower, as serving.export does")
    flags.add_argument("--model", help="use a model folder's newest version, or one version (models/retrieval/3)")
    flags.add_argument("--target", nargs="+", metavar="HOST:PORT,...", help="ask running servers, one target a shard")
    flags.add_argument("--shard-map", metavar="PATH", help="ask the servers that a shards.json names")
    flags.add_argument(
        "--model-name", default="retrieval", help="the model's name on the servers (default %(default)s)"
    )
    flags.add_argument("--timeout", type=float, default=10.0, help="seconds a server has for a query (%(default)s)")
    flags.add_argument("--k", type=int, default=100, help="items for a row that has no k (%(default)s)")
    flags.add_argument(
        "--format",
        choices=("parquet", "tfrecord", "jsonl", *_STORES),
        default="parquet",
        help="of the answers; for a store its own lines come beside the Parquet files (%(default)s)",
    )
    flags.add_argument(
        "--columns", nargs="+", default=[], metavar="OURS=THEIRS", help="column names that differ from ours"
    )
    flags.add_argument("--shards", type=int, default=16, help="files of the output (default %(default)s)")
    flags.add_argument("--max-batch", type=int, default=512, help="most rows in one call of the model (%(default)s)")
    flags.add_argument(
        "--max-rejected-share",
        type=float,
        default=0.05,
        help="fail if a larger share of rows is rejected (%(default)s)",
    )
    return flags.parse_known_args(argv)


def checked(flags: argparse.Namespace) -> None:
    """What argparse cannot see."""
    if flags.format not in _FORMATS[flags.mode]:
        raise UserError(f"--format {flags.format}: --mode {flags.mode} writes {' or '.join(_FORMATS[flags.mode])}")
    ways = ("job_dir", "model") if flags.mode == "embed" else ("model", "target", "shard_map")
    given = [name for name in ("job_dir", "model", "target", "shard_map") if getattr(flags, name)]
    if len(given) != 1 or given[0] not in ways:
        *others, last = (f"--{name.replace('_', '-')}" for name in ways)
        named = f"{', '.join(others)} and {last}"
        raise UserError(f"--mode {flags.mode} takes one of {named}")
    for name in ("k", "shards", "max_batch", "timeout"):
        if getattr(flags, name) <= 0:
            raise UserError(f"--{name.replace('_', '-')} {getattr(flags, name)}: it must be over 0")
    for column in flags.columns:
        if "=" not in column:
            raise UserError(f"--columns {column}: write our name, =, and yours, as in item_id=sku")


def job_of(flags: argparse.Namespace) -> Job:
    """The job that the flags describe."""
    from serving.batch import jobs

    shared: dict[str, Any] = {
        "output": flags.output.rstrip("/"),
        "format": flags.format,
        "columns": dict(column.split("=", 1) for column in flags.columns),
        "shards": flags.shards,
        "max_rejected_share": flags.max_rejected_share,
    }
    if flags.mode == "embed":
        return jobs.embed_job(flags.job_dir, flags.model, flags.max_batch, **shared)
    if flags.model:
        return jobs.retrieve_job(flags.mode, flags.model, flags.k, flags.max_batch, **shared)
    servers = Servers(tuple(flags.target or ()), flags.model_name, flags.timeout, flags.shard_map)
    return jobs.server_job(flags.mode, servers, flags.k, flags.max_batch, **shared)


def said(flags: argparse.Namespace, outcome: Outcome) -> str:
    """What happened, in a line or two."""
    counts, rejected = outcome.manifest["counts"], outcome.manifest["rejected"]
    bad = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
    listed = f"; rejected {bad} ({outcome.manifest['rejected_file']})" if bad else ""
    if not outcome.changed:
        return f"nothing changed: {counts['written']} rows as they were in {flags.output}{listed}"
    known = ""
    if flags.mode == "embed":
        known = " ({added} new, {changed} changed, {unchanged} unchanged, {removed} removed)".format(**counts)
    return (
        f"{counts['written']} of {counts['in']} records{known}, {counts['computed']} computed; {flags.output}{listed}"
    )


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags, beam_flags = arguments(argv)
    for name in ("", "apache_beam", "tensorflow"):  # what stops the job is told once, by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    checked(flags)
    try:
        outcome = run(job_of(flags), find(flags.input), beam_flags)
    except JobStopped as stopped:
        fail(str(stopped), status=1)
    if outcome is None:
        print(f"launched; the job itself writes {flags.output.rstrip('/')}/{MANIFEST} when all is there")
        return 0
    print(said(flags, outcome))
    return 0


if __name__ == "__main__":
    run_command(main)
