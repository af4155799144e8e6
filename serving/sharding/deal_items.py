"""The first step: a file of the catalogue through the item tower, its items dealt out to their shards."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from preprocessing.words.word_lists import count_words
from serving.catalogue.attribute_ids import attribute_ids
from serving.catalogue.table import Table, TableBuilder
from serving.graph.hashed_past import hashed
from serving.release.item_vectors import embedded_batches
from serving.release.stored_vectors import Stored, StoredVectors, stored_in
from serving.sharding.array_folders import made_whole, read_array, write_arrays
from serving.sharding.plan import Plan
from serving.sharding.shards import shard_numbers
from serving.sharding.table_arrays import table_arrays
from serving.sharding.word_ranges import write_words

_BATCH = 4_096
_BLOCK = 131_072  # items that a worker holds at once


class Block(NamedTuple):
    """Some items of a file, in its order."""

    first: int  # how many of the file's items come before them
    table: Table
    vectors: np.ndarray  # float32 [n, dim]


@dataclasses.dataclass(frozen=True)
class StoreVectors:
    """Makes `plan.stored[n]`: a table of vectors, as arrays that workers map."""

    plan: Plan

    def __call__(self, number: int) -> None:
        write_arrays(self.plan.stored[number], stored_in(self.plan.vectors[number])._asdict())


@dataclasses.dataclass(frozen=True)
class DealItems:
    """Makes `plan.parts[n]`: a folder for each block and shard, one for each block's pasts and its words."""

    plan: Plan

    def __call__(self, number: int) -> None:
        plan = self.plan
        boosts, vocabularies = plan.config.channels.words.fields.boosts, plan.builder().towers.vocabularies
        items, blocks, sums = 0, 0, np.zeros(2)
        stored = StoredVectors([Stored(*(read_array(one, name) for name in Stored._fields)) for one in plan.stored])
        with made_whole(plan.parts[number]) as folder:
            for block in self._blocks(plan.files[number], stored):
                table = block.table
                _write_shards(folder, blocks, block, plan.shards)
                past = hashed(table.ids, attribute_ids(table, vocabularies))
                write_arrays(folder / f"past-{blocks:04d}", past._asdict())
                counted = count_words(table.words, boosts)
                sums += counted.sums(len(table))
                write_words(folder / f"words-{blocks:04d}", counted, table.words.spellings)
                items, blocks = items + len(table), blocks + 1
            told = {"items": items, "sums": sums.tolist(), "stored": stored.taken}
            write_arrays(folder / "counts", {}, **told)

    def _blocks(self, path: str, stored: StoredVectors) -> Iterator[Block]:
        encoder = self.plan.builder().item_encoder
        described = self.plan.config.channels.words.fields.description > 0
        builder, vectors, first = TableBuilder(), list[np.ndarray](), 0
        source = f"--data {self.plan.data_dir}: {Path(path).name}"
        for batch, found in embedded_batches([path], _BATCH, encoder, stored, described):
            vectors.append(found)
            builder.add(batch)
            if len(vectors) * _BATCH >= _BLOCK:
                block = Block(first, builder.table(source), np.concatenate(vectors))
                builder, vectors, first = TableBuilder(), [], first + len(block.table)
                yield block
        if vectors:
            yield Block(first, builder.table(source), np.concatenate(vectors))


def _write_shards(folder: Path, number: int, block: Block, shards: int) -> None:
    of_shards = shard_numbers(block.table.ids, shards)
    for shard in range(shards):
        rows = np.flatnonzero(of_shards == shard)
        part = table_arrays(block.table.part(rows))
        arrays = part | {"vectors": block.vectors[rows], "places": block.first + rows}
        write_arrays(folder / f"{shard:05d}-{number:04d}", arrays)
