"""What the pipeline shuffles of one log: elements, records and bytes, in few partitions and in many."""

from __future__ import annotations

import collections
from pathlib import Path
from typing import Any

from preprocessing.command.runners import beam_options, new_pipeline
from preprocessing.config import PreprocessingConfig
from preprocessing.graph import MakeExamples, Partitions
from preprocessing.logs.find_sources import reader, sources_of
from preprocessing.shuffle.keyed_batches import METRICS

_PREFIX = "shuffled/"


def compare(raw: Path, partitions: int) -> dict[str, Any]:
    """The traffic of one log as it is dealt by default, and forced into so many partitions of users."""
    config = PreprocessingConfig()
    default = Partitions.of(sources_of(config.input, str(raw)), config.output.partition_mb)
    forced = default._replace(users=partitions, items=partitions // 8)
    few, many = (traffic(raw, config, one) for one in (default, forced))
    return {
        "few": {"partitions": default._asdict(), **few},
        "many": {"partitions": forced._asdict(), **many},
        "least_records_an_element": min(one["records_an_element"] for one in many["streams"].values()),
        "bytes_many_over_few": round(many["bytes"] / few["bytes"], 3),
    }


def traffic(raw: Path, config: PreprocessingConfig, partitions: Partitions) -> dict[str, Any]:
    """What one run shuffles, by what it shuffles."""
    pipeline = new_pipeline(beam_options([], [], 0))
    streams = {source.stream: pipeline | reader(source, config.input) for source in sources_of(config.input, str(raw))}
    streams | MakeExamples(config, partitions)
    counted: dict[str, dict[str, int]] = collections.defaultdict(dict)
    for counter in pipeline.run().metrics().query()["counters"]:
        name = counter.key.metric.name
        if counter.key.metric.namespace == METRICS and name.startswith(_PREFIX):
            _, what, figure = name.split("/")
            counted[what][figure] = counter.committed
    streams = {
        what: {
            **figures,
            "records_an_element": round(figures["records"] / figures["elements"], 1),
            "bytes_a_record": round(figures["bytes"] / figures["records"], 1),
        }
        for what, figures in sorted(counted.items())
    }
    return {"streams": streams, "bytes": sum(one["bytes"] for one in streams.values())}
