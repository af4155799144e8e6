"""The Beam job: raw logs to how often each item was shown and clicked, which is then small enough for one machine."""

from __future__ import annotations

import collections
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
import numpy as np
import orjson
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import GoogleCloudOptions

from preprocessing.command.console import UserError
from preprocessing.command.runners import beam_options, new_pipeline, run_to_end
from preprocessing.config import PreprocessingConfig
from preprocessing.graph import Partitions
from preprocessing.judging.click_models import Counts
from preprocessing.judging.count_clicks import CountClicks, add_times
from preprocessing.logs.find_sources import reader, sources_of
from preprocessing.logs.heavy_users import HEAVY
from preprocessing.logs.parse import COUNTS, KINDS, REJECTED, TIMES, ParseRecords
from preprocessing.shuffle.by_key import ByKey
from preprocessing.shuffle.partitions import Dealing

_CLICKS, _STREAMS = "clicks", "streams"
_EVENTS = ("searches", "actions", "impressions", HEAVY)


def count_logs(
    config: PreprocessingConfig, folder: str, staging: str, flags: Sequence[str], own_flags: Sequence[str]
) -> tuple[list[tuple[str, str]], Counts, dict[str, dict[str, int]]]:
    """The pairs of query and item, what was counted of them, and by stream what was read and why not all of it."""
    sources = [source for source in sources_of(config.input, folder, flags) if source.stream != "catalog"]
    if not sources:
        raise UserError(f"--input {folder} is a catalogue alone; judgments need searches and actions")
    options = beam_options(flags, own_flags, sum(source.size for source in sources))
    if options.view_as(GoogleCloudOptions).template_location is not None:
        raise UserError(
            "judgments are made where the job is launched, which has to wait: leave out --template_location"
        )
    pipeline = new_pipeline(options)
    partitions = Partitions.of(sources, config.output.partition_mb)
    users, items = (Dealing.of(count, partitions.keys) for count in partitions[:2])
    parsed = [
        pipeline
        | reader(source, config.input)
        | f"Parse {source.stream}"
        >> beam.ParDo(
            ParseRecords(source.stream, config.input, config.join.max_user_events, users, items)
        ).with_outputs(*KINDS.values(), HEAVY, REJECTED, COUNTS, TIMES)
        for source in sources
    ]
    events = {name: [one[name] for one in parsed] | f"All {name}" >> beam.Flatten() for name in _EVENTS}
    clicks = (
        events
        | "By user" >> ByKey()
        | "Count clicks" >> beam.ParDo(CountClicks(config.join, users))
        | "Add up" >> beam.CombinePerKey(add_times)
    )
    told = [one[COUNTS] for one in parsed] | "All counts" >> beam.Flatten() | "Sum" >> beam.CombinePerKey(sum)
    for name, counted in ((_CLICKS, clicks), (_STREAMS, told)):
        lines = counted | f"As lines of {name}" >> beam.Map(lambda one: orjson.dumps(one).decode())
        lines | f"Write {name}" >> beam.io.WriteToText(FileSystems.join(staging, name))
    try:
        run_to_end(pipeline)
        streams = _streams(staging, config.input.max_rejected_share)
        return *_counts(staging), streams
    finally:
        if FileSystems.exists(staging):
            FileSystems.delete([staging])


def _lines(staging: str, name: str) -> Any:
    for file in FileSystems.match([FileSystems.join(staging, f"{name}*")])[0].metadata_list:
        with FileSystems.open(file.path) as lines:
            yield from map(orjson.loads, lines)


def _counts(staging: str) -> tuple[list[tuple[str, str]], Counts]:
    known: dict[tuple[str, str], int] = {}
    columns: tuple[list[int], ...] = ([], [], [], [])
    for (query, item_id, place), (shown, clicked) in sorted(_lines(staging, _CLICKS)):
        pair = known.setdefault((query, item_id), len(known))
        for column, value in zip(columns, (pair, place, shown, clicked), strict=True):
            column.append(value)
    if not known:
        raise UserError("no search in the logs shows an item; judgments need preprocessing.input.searches.results")
    pairs, places, times, clicks = (np.array(column) for column in columns)
    return list(known), Counts(pairs, places, times.astype(float), clicks.astype(float))


def _streams(staging: str, limit: float) -> dict[str, dict[str, int]]:
    """What became of each stream's records; too many that cannot be read are the end of it."""
    streams: dict[str, dict[str, int]] = collections.defaultdict(lambda: {"in": 0, "rejected": 0})
    reasons: collections.Counter[tuple[str, str]] = collections.Counter()
    for (stream, outcome, *reason), count in _lines(staging, _STREAMS):
        if outcome in ("in", "rejected"):
            streams[stream][outcome] += count
        if outcome == "rejected":
            reasons[stream, reason[0]] += count
    for stream, one in streams.items():
        if one["rejected"] > limit * one["in"]:
            why = max((reason for name, reason in reasons if name == stream), key=lambda why: reasons[stream, why])
            raise UserError(
                f"{stream}: {one['rejected']:,} of {one['in']:,} records cannot be read, mostly for {why!r}; "
                "preprocessing.input.max_rejected_share allows more"
            )
    return dict(sorted(streams.items()))
