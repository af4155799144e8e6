"""python -m preprocessing.pipeline: raw search logs to TFRecords and vocabularies."""

from __future__ import annotations

import argparse
import gc
import logging
import traceback
from collections.abc import Sequence

from apache_beam.options.pipeline_options import GoogleCloudOptions
from rich.console import Console

from preprocessing.command.console import UserError, counted_progress, fail, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from preprocessing.command.runners import beam_options, new_pipeline, run_to_end
from preprocessing.config import PreprocessingConfig
from preprocessing.data import stats as statistics
from preprocessing.data.data_folder import FAILED, DataFolder, finish, finish_inside
from preprocessing.data.past_files import PastFiles, WritePast
from preprocessing.data.record_shards import shards_of
from preprocessing.data.state_folder import Day, StateFolder, fingerprint
from preprocessing.data.write_folder import WriteDataFolder
from preprocessing.graph import MakeExamples, Partitions
from preprocessing.logs.find_sources import reader, sources_of
from preprocessing.logs.sources import Source, refuse_inside
from preprocessing.logs.tables import Table

OWN_FLAGS = ("--config", "--input", "--output", "--state", "--set")
_HELP = """\
Turns raw search logs (catalogue, searches, actions; UBI; Google Analytics 4) into training-ready TFRecords and
vocabularies. Of a catalogue without searches and actions, each item is asked for by words of its own.

examples:
  python -m preprocessing.pipeline --config configs/demo.yaml --input out/raw --output out/data
  python -m preprocessing.pipeline --config configs/demo.yaml --input raw --output data \\
      --direct_running_mode=multi_processing --direct_num_workers=2
  python -m preprocessing.pipeline --config c.yaml --input logs/2024-06-02 --output data/2024-06-02 --state state
  python -m preprocessing.pipeline --config c.yaml --input gs://b/raw --output gs://b/data \\
      --runner=DataflowRunner --project=my-project --region=europe-west4 --temp_location=gs://b/tmp \\
      --setup_file=./setup.py
"""


class PipelineStopped(Exception):
    """The job broke off on the way; the cause may be the machine's, the cluster's or a file's."""


def arguments(argv: Sequence[str] | None) -> tuple[argparse.Namespace, list[str]]:
    """Our flags, and the rest for Beam."""
    flags = Flags(
        others=True,
        prog="python -m preprocessing.pipeline",
        description=_HELP,
        epilog="Every other flag is Beam's own (--runner, --direct_num_workers, --parallelism, ...).",
    )
    flags.add_argument("--config", required=True, help="the experiment's YAML; its `preprocessing` section is read")
    flags.add_argument(
        "--input",
        default="",
        help="folder of the raw logs, or of a catalogue alone; the config's file patterns start here. Where all are in "
        "BigQuery there is none",
    )
    flags.add_argument("--output", required=True, help="folder for the records; an earlier run's files are replaced")
    flags.add_argument(
        "--state",
        help="folder that holds what a day's records need of the days before, begun by the first run; --input is then "
        "one day's logs",
    )
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    return flags.parse_known_args(argv)


def run_day(
    config: PreprocessingConfig, input_folder: str, output: str, flags: Sequence[str], state_folder: str
) -> dict | None:
    """The same of a day's logs, which go on from a state; returns None if that was done before."""
    state = StateFolder(state_folder, config)
    sources = sources_of(config.input, input_folder, flags)
    if {source.stream for source in sources} == {"catalog"}:
        raise UserError(f"--state {state_folder}: --input {input_folder} is a catalogue alone, which has no past")
    files = [path for source in sources if isinstance(source, Source) for path in source.paths]
    versions = [source.version for source in sources if isinstance(source, Table)]
    logs = fingerprint(input_folder, files, versions)
    with state.alone():
        day = state.day(logs, output)
        if day is None:
            return None
        stats = run(config, input_folder, output, flags, day)
        state.commit(day)
    return stats


def run(
    config: PreprocessingConfig, input_folder: str, output: str, flags: Sequence[str], day: Day | None = None
) -> dict | None:
    """Runs the pipeline to its end; returns the statistics. As a template it only launches, and returns None."""
    sources = sources_of(config.input, input_folder, flags)
    refuse_inside(output, [source for source in sources if isinstance(source, Source)])
    size = sum(source.size for source in sources)
    options = beam_options(flags, OWN_FLAGS, size)
    template = options.view_as(GoogleCloudOptions).template_location is not None
    if template and day is not None:
        raise UserError("--state needs a launcher that waits: leave out --template_location")
    pipeline = new_pipeline(options)
    folder = DataFolder(output)
    folder.prepare()
    streams = {source.stream: pipeline | reader(source, config.input) for source in sources}
    past = PastFiles(day.past) if day is not None else None
    parts = streams | MakeExamples(config, Partitions.of(sources, config.output.partition_mb), past)
    written = parts | WriteDataFolder(config, folder.staging)
    if day is not None:
        parts.past | WritePast(day.folder)
    if template:
        finish_inside(written, folder, config)
    try:
        shards = shards_of(config.output, {"train": size})  # near enough for a bar
        files = sum(one.files for one in shards.values()) + len(config.text.grains) + 7
        with counted_progress("reading, joining, writing", files, lambda: len(folder.staged())):
            run_to_end(pipeline)
    except Exception as error:
        folder.mark(FAILED, traceback.format_exc())
        cause = str(error).strip().splitlines() or [type(error).__name__]
        raise PipelineStopped(f"the pipeline stopped: {cause[-1]}; the whole report is in {output}/{FAILED}") from error
    return None if template else finish(folder, config)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    gc.set_threshold(100_000)  # where no worker processes are, as in one: see `command.beam_worker`
    flags, beam_flags = arguments(argv)
    logging.getLogger("apache_beam").setLevel(logging.CRITICAL)  # what stops the job is told once, by us
    config = load_section(flags.config, "preprocessing", PreprocessingConfig, flags.set)
    given = (config, flags.input.rstrip("/"), flags.output.rstrip("/"), beam_flags)
    try:
        stats = run(*given) if flags.state is None else run_day(*given, flags.state)
    except PipelineStopped as stopped:
        fail(str(stopped), status=1)
    console = Console()
    if stats is None and flags.state is not None:
        console.print(f"nothing to do: the logs are in {flags.state}, and their records in {flags.output}")
        return 0
    if stats is None:
        console.print(f"launched; the job itself puts records, vocabularies and _SUCCESS into {flags.output}")
        return 0
    statistics.print_table(stats, console)
    console.print(f"records, vocabularies and stats.json are in {flags.output}")
    return 0


if __name__ == "__main__":
    run_command(main)
