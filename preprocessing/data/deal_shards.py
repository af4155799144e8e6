"""Examples to the files that hold them. How many files there are is known when all examples are made.

Until then examples wait in runs, each many of them as one element: so do the runs wait, and not millions of examples.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsDict

from preprocessing.config import PreprocessingConfig
from preprocessing.data.record_shards import ShardKey, Shards, order_key, shards_of
from preprocessing.shuffle.keyed_batches import KeyedBatches, Traffic, in_the_end, weight_of
from preprocessing.shuffle.packing import pack, unpack

_RUNS, _SIZES = "runs", "sizes"


class DealShards(beam.PTransform):
    """(key, example) by kind of file -> (shard, batches of (order, example)); every shard is there."""

    def __init__(self, config: PreprocessingConfig) -> None:
        super().__init__()
        self._config = config

    def expand(self, examples: Mapping[str, beam.PCollection]) -> beam.PCollection:
        packed = [
            one | f"Pack {name}" >> beam.ParDo(PackRuns(name, self._config.seed)).with_outputs(_RUNS, _SIZES)
            for name, one in examples.items()
        ]
        runs, sizes = ([one[tag] for one in packed] | f"All {tag}" >> beam.Flatten() for tag in (_RUNS, _SIZES))
        sizes = sizes | "Sum sizes" >> beam.CombinePerKey(sum)
        once = sizes.pipeline | "Once for all shards" >> beam.Create([self._config.output])
        shards = once | "Shards" >> beam.FlatMap(_shards, AsDict(sizes))
        dealt = runs | "Deal" >> beam.ParDo(DealRuns(), AsDict(shards))
        every = shards | "Every shard" >> beam.FlatMap(_every)
        return (dealt, every) | "All shards" >> beam.Flatten() | "By shard" >> beam.GroupByKey()


class PackRuns(beam.DoFn):
    """(key, example) -> runs of (name, many (order, example) as one element), and (name, how many bytes)."""

    def __init__(self, name: str, seed: int) -> None:
        self._name = name
        self._seed = seed

    def setup(self) -> None:
        self._runs: KeyedBatches[str] = KeyedBatches(1)

    def start_bundle(self) -> None:
        self._size = 0

    def process(self, element: tuple[str, bytes]) -> Iterator[Any]:
        key, example = element
        self._runs.add(self._name, (order_key(self._seed, key), example), weight_of(len(example)))
        self._size += len(example)
        if self._runs.full:
            yield from (beam.pvalue.TaggedOutput(_RUNS, run) for run in self._runs.drain())

    def finish_bundle(self) -> Iterator[Any]:
        outputs = [*((_RUNS, run) for run in self._runs.drain()), (_SIZES, (self._name, self._size))]
        yield from (beam.pvalue.TaggedOutput(tag, in_the_end(value)) for tag, value in outputs)


class DealRuns(beam.DoFn):
    """Runs -> (shard, batch): the shuffle moves few and compact elements."""

    def setup(self) -> None:
        self._batches: KeyedBatches[ShardKey] | None = None

    def process(self, run: tuple[str, bytes], shards: Mapping[str, Shards]) -> Iterator[tuple[ShardKey, bytes]]:
        name, batch = run
        if self._batches is None:
            self._batches = KeyedBatches(sum(one.files for one in shards.values()), Traffic("examples"))
        for order, example in unpack(tuple, batch):
            self._batches.add(shards[name].of(order).key, (order, example), weight_of(len(example)))
        if self._batches.full:
            yield from self._batches.drain()

    def finish_bundle(self) -> Iterator[Any]:
        if self._batches is not None:
            yield from map(in_the_end, self._batches.drain())


def _shards(output: Any, sizes: Mapping[str, int]) -> Iterable[tuple[str, Shards]]:
    return shards_of(output, sizes).items()


def _every(named: tuple[str, Shards]) -> Iterator[tuple[ShardKey, bytes]]:
    _, shards = named
    return ((shards.at(number).key, pack([])) for number in range(shards.files))
