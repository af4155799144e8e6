"""python -m serving.export: towers and a catalogue to a version of the served model."""

from __future__ import annotations

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, fail, quiet_native_code, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from serving.config import Kind, ServingConfig, default_index

_HELP = """\
Writes a new version of the served model: the query tower, the item tower, the catalogue and its nearest-neighbour
index in one SavedModel. The version appears, complete, if it passes the gate; otherwise the one in place stays.

A new catalogue needs no training: run the same command with the new --data.

examples:
  python -m serving.export --job-dir out/job --data out/data --output out/models/retrieval
  python -m serving.export --job-dir out/job --data out/data --output out/models/retrieval --index portable \\
      --target-recall 0.98

With --shards the catalogue is spread over several models, which Beam's workers build: here, or where Beam's own flags
say (--runner). --output is then a folder that all workers see. Broken off, the same command goes on where it was.

New items can be added and removed ones taken out within seconds, without building the index again:
  python -m serving.export --data out/data --output out/models/retrieval --fresh new.jsonl --tombstones gone.txt
"""


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """The command's flags, and Beam's."""
    flags = Flags(
        prog="python -m serving.export",
        description=_HELP,
        others=True,
    )
    flags.add_argument("--job-dir", help="the folder of trainer.task; without it the version in place is amended")
    flags.add_argument("--data", required=True, help="the folder of preprocessing.pipeline; its catalogue is indexed")
    flags.add_argument("--output", required=True, help="the model folder; versions 1, 2, ... appear in it")
    flags.add_argument("--shards", type=int, help="models to spread the catalogue over; shards.json names them")
    flags.add_argument(
        "--fresh", help="JSON Lines of catalogue records, searched beside the index until the next build"
    )
    flags.add_argument("--tombstones", help="a file of item ids, one a line, that must not be returned")
    flags.add_argument("--vectors", help="a folder of serving.batch --mode embed; only items not in it are embedded")
    add_config_flags(flags)
    return flags.parse_known_args(argv)


def add_config_flags(flags: Flags) -> None:
    """The config and its short cuts, of every command that builds an index."""
    flags.add_argument("--config", help="the experiment's YAML; its `serving` section is read, defaults without it")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    flags.add_argument("--index", choices=get_args(Kind), help=f"short for serving.index (default {default_index()})")
    flags.add_argument("--target-recall", type=float, help="short for serving.tuning.target_recall")
    flags.add_argument("--max-regression", type=float, help="short for serving.gate.max_regression")


def configured(flags: argparse.Namespace) -> ServingConfig:
    """The config with its overrides."""
    short = {
        "serving.index": flags.index,
        "serving.tuning.target_recall": flags.target_recall,
        "serving.gate.max_regression": flags.max_regression,
    }
    overrides = [*flags.set, *(f"{key}={value}" for key, value in short.items() if value is not None)]
    if flags.config:
        return load_section(flags.config, "serving", ServingConfig, overrides)
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as empty:
        return load_section(empty.name, "serving", ServingConfig, overrides)


def export(
    config: ServingConfig,
    job_dir: str | None,
    data_dir: str,
    output: str,
    fresh: str | None = None,
    tombstones: str | None = None,
    shards: int | None = None,
    vectors: str | None = None,
    beam_flags: Sequence[str] = (),
) -> int:
    """Writes a version; returns the exit status."""
    from preprocessing.data.spec import read_spec
    from serving.batch.output_folder import locked  # TensorFlow comes with these: `--help` does not wait for that
    from serving.release.fresh_items import read_changes
    from serving.release.publish import Release
    from serving.sharding.sharded_publish import ShardedRelease
    from serving.sharding.shards import SHARDS

    changed = fresh is not None or tombstones is not None
    if vectors is not None and job_dir is None:
        raise UserError("--vectors goes with --job-dir: the version in place keeps its own")
    if job_dir is None and not changed:
        raise UserError("name --job-dir to build a version, or --fresh or --tombstones to change the one in place")
    if shards is not None and (shards < 1 or job_dir is None or changed):
        raise UserError("--shards takes a number from 1, goes with --job-dir, and not with --fresh or --tombstones")
    changes = read_changes(fresh, tombstones, read_spec(data_dir)["vector_width"] if changed else 0)
    in_shards = shards is not None or (job_dir is None and Path(output, SHARDS).exists())
    release = (ShardedRelease if in_shards else Release)(config, data_dir, output, vectors)
    with locked(output, "--output"):
        if job_dir is None:
            return release.change(changes)
        if shards is not None and isinstance(release, ShardedRelease):
            return release.build_shards(job_dir, shards, beam_flags)
        return release.build(job_dir, changes)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags, beam_flags = arguments(argv)
    from preprocessing.command.runners import beam_options  # Beam comes with it: `--help` does not wait for that
    from serving.batch.run import JobStopped
    from serving.sharding.workers import OWN_FLAGS

    if beam_flags and flags.shards is None:
        beam_options(beam_flags, OWN_FLAGS, 0)  # says which nobody knows
        raise UserError(
            f"{beam_flags[0]} is a flag of Beam's, whose workers build --shards; a single model is built here"
        )
    config = configured(flags)
    for name in ("apache_beam", "tensorflow"):  # what stops a build is told once, by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    job_dir = flags.job_dir.rstrip("/") if flags.job_dir else None
    data_dir, output = flags.data.rstrip("/"), flags.output.rstrip("/")
    changes = flags.fresh, flags.tombstones
    try:
        return export(config, job_dir, data_dir, output, *changes, flags.shards, flags.vectors, beam_flags)
    except JobStopped as stopped:
        fail(str(stopped), status=1)


if __name__ == "__main__":
    quiet_native_code()
    run_command(main)
