"""python -m serving.refresh: today's catalogue in a new version, as one command that a scheduler can call."""

from __future__ import annotations

import argparse
import json
import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import serving.batch  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, fail, run_command
from preprocessing.command.flags import Flags
from serving.batch.input_files import find
from serving.batch.jobs import embed_job, tower_encoding
from serving.batch.output_folder import locked
from serving.batch.run import JobStopped, run
from serving.config import ServingConfig
from serving.export import add_config_flags, configured
from serving.release.day_steps import PUBLISH, STEPS, steps_of
from serving.release.versions import REJECTED, ModelFolder
from serving.release.whole_day import WholeDay

_MAX_BATCH = 512
_HELP = """\
Brings the served model up to date: embeds new and changed items, builds the index, and puts the version in place if it
passes the gate.

With --days it lives the whole day: records from the day's --logs and what the days before left, compared with those of
the day before; with --train, as often as a job is due, one that goes on from the newest good one, evaluated and judged
against it; then the version, of the newest job that passed. --step does one of these steps, for a scheduler that has
each as a task of its own.

Made for a scheduler. Nothing happens if towers, catalogue and config are those of the version in place, or of one that
the gate turned down (--force tries that again). Two runs at a time exclude each other. A killed run is resumed by the
next.

examples:
  python -m serving.refresh --job-dir out/job --data out/data --output out/models/retrieval
  python -m serving.refresh --config configs/mgdspr.yaml --logs /logs/2024-06-02 --days /days \\
      --output out/models/retrieval --train
  0 4 * * *  cd /srv/multigrain && python -m serving.refresh --config configs/mgdspr.yaml --job-dir ... (cron)

exit status: 0 a new version or nothing to do, 1 a step stopped, 2 a mistake in flags or files, 3 a gate refused the
version, or the day's job (the version is then of the job before), or the day is past a limit beside the day before
(nothing is then made of it)
"""


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our flags, and the rest for Beam."""
    flags = Flags(
        others=True,
        prog="python -m serving.refresh",
        description=_HELP,
        epilog="Every other flag is Beam's own (--runner, --direct_num_workers, ...), for the embedding.",
    )
    flags.add_argument("--job-dir", help="the folder of trainer.task")
    flags.add_argument("--data", help="the folder of preprocessing.pipeline, with today's catalogue")
    flags.add_argument("--days", help="in place of both: folder of each day's records and jobs, and of their state")
    flags.add_argument("--logs", help="with --days: folder of the day's logs, whose name is the day's")
    flags.add_argument("--train", action="store_true", help="with --days: a job is due")
    flags.add_argument("--step", choices=[step.name for step in STEPS], help="with --days: this step of the day alone")
    flags.add_argument(
        "--accept", action="store_true", help="with --days: goes on though the day is past a limit of the comparison"
    )
    flags.add_argument(
        "--drop", type=float, default=0.01, help="how far below the job before a new one passes (default %(default)s)"
    )
    flags.add_argument("--output", required=True, help="the model folder; versions 1, 2, ... appear in it")
    flags.add_argument("--vectors", help="where items' vectors are kept between runs (default: <output>-vectors)")
    add_config_flags(flags)
    flags.add_argument("--shards", type=int, help="models to spread the catalogue over, as in serving.export")
    flags.add_argument("--force", action="store_true", help="build a version even if nothing has changed")
    return flags.parse_known_args(argv)


def refresh(
    config: ServingConfig,
    job_dir: str,
    data_dir: str,
    output: str,
    vectors: str | None = None,
    flags: Sequence[str] = (),
    force: bool = False,
    shards: int | None = None,
) -> int:
    """Embeds, exports, judges and places; returns the exit status."""
    import tensorflow as tf

    from preprocessing.data.spec import read_spec
    from serving.catalogue.data_records import check_vectors
    from serving.release.fresh_items import Changes
    from serving.release.manifest import source_hashes  # TensorFlow comes with it: `--help` does not wait for that
    from serving.release.publish import Release
    from serving.sharding.sharded_publish import ShardedRelease
    from serving.sharding.shards import QUERY, read_listed

    spec = read_spec(data_dir)  # a folder that is not whole is told before anything is done
    check_vectors(data_dir, spec, tower_encoding(job_dir).get("vector_width", 0))
    folder = ModelFolder(output if shards is None else f"{output}/{QUERY}")
    with locked(output, "--output"):
        job = embed_job(job_dir, None, _MAX_BATCH, output=vectors or f"{output}-vectors", format="parquet")
        sources = source_hashes(config, job_dir, data_dir) | ({} if shards is None else {"shards": shards})
        # Of shards the version that their file names: a run that was killed may have placed some of a newer one.
        latest = folder.latest() if shards is None else (read_listed(Path(output)) or {}).get("version")
        known = None if force else _known(folder, latest, output, sources)
        if known is not None:
            return known
        tf.config.list_logical_devices()  # all cores for the index: the job's one-core sessions would settle it for all
        outcome = run(job, find(data_dir), flags)
        if outcome is None:
            raise UserError("--template_location: a refresh waits for its job; leave the flag out")
        counts = outcome.manifest["counts"]
        print(f"{counts['computed']} items embedded, {counts['written'] - counts['computed']} carried over")
        if shards is not None:
            return ShardedRelease(config, data_dir, output, job.output).build_shards(job_dir, shards, flags)
        return Release(config, data_dir, output, job.output).build(job_dir, Changes())


def _known(folder: ModelFolder, latest: int | None, output: str, sources: dict[str, Any]) -> int | None:
    """The exit status where a version was made of these, or turned down; none where there is something to do."""
    if latest is not None and _of(folder.manifest(latest), sources):
        print(f"nothing changed: version {latest} is of these towers and this catalogue; {output}")
        return 0
    turned_down = _rejected(Path(output), latest or 0, sources)
    if turned_down is None:
        return None
    sys.stderr.write(f"nothing changed since the gate turned {turned_down} down; --force tries again\n")
    return REJECTED


def _of(manifest: dict[str, Any], sources: dict[str, Any]) -> bool:
    """Whether a version was made of these."""
    return all(manifest.get(name) == value for name, value in sources.items())


def _rejected(folder: Path, after: int, sources: dict[str, Any]) -> Path | None:
    """A rejected version that was made of these, later than version `after`."""
    for path in sorted(folder.glob("rejected-*/manifest.json")):
        number = path.parent.name.removeprefix("rejected-")
        if number.isdecimal() and int(number) > after and _of(json.loads(path.read_text()), sources):
            return path.parent
    return None


def live(flags: argparse.Namespace, config: ServingConfig, beam_flags: Sequence[str]) -> int:
    """The whole day; returns the exit status."""
    for name in ("logs", "config"):
        if getattr(flags, name) is None:
            raise UserError(f"--days {flags.days}: it needs --{name}")
    if flags.job_dir or flags.data:
        raise UserError(f"--days {flags.days} has jobs and data of its own: leave out --job-dir and --data")
    if flags.step and flags.train:
        raise UserError("--train says which steps the day has: leave it out where --step names one")
    steps = [flags.step] if flags.step else [step.name for step in steps_of(flags.train)]
    with locked(flags.days, "--days"):
        day = WholeDay(flags.days, flags.logs, flags.config, flags.set, flags.drop, flags.accept)
        for step in steps:
            if step != PUBLISH:
                day.run(step)
        if PUBLISH not in steps:
            return 0
        job, data, passed = day.made()
        output = flags.output.rstrip("/")
        status = refresh(config, job, data, output, flags.vectors, beam_flags, flags.force, flags.shards)
    return status or (0 if passed else REJECTED)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags, beam_flags = arguments(argv)
    for name in ("", "apache_beam", "tensorflow"):  # what stops the job is told once, by us
        logging.getLogger(name).setLevel(logging.CRITICAL)
    config = configured(flags)
    if flags.shards is not None and flags.shards < 1:
        raise UserError(f"--shards {flags.shards}: it takes a number from 1")
    try:
        if flags.days is not None:
            return live(flags, config, beam_flags)
        for name in ("logs", "train", "step", "accept"):
            if getattr(flags, name):
                raise UserError(f"--{name} is of a whole day: give --days")
        if flags.job_dir is None or flags.data is None:
            raise UserError("give --job-dir and --data, or --days and --logs for the whole day")
        job_dir, data_dir, output = (one.rstrip("/") for one in (flags.job_dir, flags.data, flags.output))
        return refresh(config, job_dir, data_dir, output, flags.vectors, beam_flags, flags.force, flags.shards)
    except JobStopped as stopped:
        fail(str(stopped), status=1)


if __name__ == "__main__":
    run_command(main)
