"""The fourth step: the items of a shard from all files of the catalogue, and what they are for labelled requests."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from preprocessing.command.console import UserError
from preprocessing.words.choose_fusion import DEPTHS
from preprocessing.words.item_words import ItemWords
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.weigh_channels import Words
from preprocessing.words.word_lists import WordLists, count_words, lists_of_part
from serving.catalogue.table import Table, check_unique
from serving.release.channel_weights import exact_found
from serving.sharding.array_folders import Arrays, made_whole, read_array, read_numbers, save_array, write_arrays
from serving.sharding.plan import Plan
from serving.sharding.query_model import read_spellings
from serving.sharding.table_arrays import read_table_of, table_arrays
from serving.sharding.word_ranges import items_of, whole_terms

_LISTS, _VECTORS = "lists", "vectors"


@dataclasses.dataclass(frozen=True)
class GatherItems:
    """Makes `plan.gathered[n]`: a shard's table, vectors, places and word lists, and what it finds for `weighed`."""

    plan: Plan

    def __call__(self, number: int) -> None:
        plan = self.plan
        pieces = [piece for part in plan.parts for piece in sorted(part.glob(f"{number:05d}-*"))]
        table = Table.joined([read_table_of(one) for one in pieces])
        if not len(table):
            raise UserError(
                f"--shards {plan.shards}: no item of the {items_of(plan)} falls into shard {number}; ask for fewer"
            )
        check_unique(table.ids, f"--data {plan.data_dir}: catalog-*.tfrecord.gz")
        with made_whole(plan.gathered[number]) as folder:
            vectors = _one_behind_the_other(pieces, folder / f"{_VECTORS}.npy")
            places = _places(plan, number)
            counted = count_words(table.words, plan.config.channels.words.fields.boosts)
            lists = lists_of_part(counted, len(table), whole_terms(plan))
            write_arrays(folder / _LISTS, lists._asdict())
            arrays = table_arrays(Table(*table[:3], _no_words(len(table)), table.prices)) | {"places": places}
            if plan.asks_words:
                arrays |= _found(plan, table, vectors, places, lists)
            for name, array in arrays.items():
                save_array(folder, name, array)


def read_gathered(folder: Path) -> tuple[Table, np.ndarray, np.ndarray, WordLists]:
    """A shard's table without its words, its vectors `[n, dim]`, places int32 `[n]`, and word lists."""
    lists = WordLists(*(read_array(folder / _LISTS, name) for name in WordLists._fields))
    return read_table_of(folder), read_array(folder, _VECTORS), read_array(folder, "places"), lists


def _one_behind_the_other(pieces: list[Path], path: Path) -> np.ndarray:
    """The vectors of all pieces in one file, mapped from it."""
    parts = [read_array(one, "vectors") for one in pieces]
    shape = sum(map(len, parts)), parts[0].shape[1]
    whole = np.lib.format.open_memmap(path, "w+", np.float32, shape)
    begin = 0
    for one in parts:
        whole[begin : begin + len(one)] = one
        begin += len(one)
    whole.flush()
    return whole


def _places(plan: Plan, number: int) -> np.ndarray:
    """int32, where each item of a shard stands in the whole catalogue."""
    found, before = [np.zeros(0, np.int64)], 0
    for part in plan.parts:
        found += [before + read_array(piece, "places") for piece in sorted(part.glob(f"{number:05d}-*"))]
        before += read_numbers(part / "counts")["items"]
    return np.concatenate(found).astype(np.int32)


def _found(plan: Plan, table: Table, vectors: np.ndarray, places: np.ndarray, lists: WordLists) -> Arrays:
    """What vectors and words find among these items, by their places, and which of them were taken."""
    requests, width = plan.requests("weighed"), min(max(DEPTHS), len(table))
    by_vector = exact_found(vectors, read_array(plan.query, "weighed"), width)
    search = plan.builder().word_search(ListsInGraph(lists), read_spellings(plan))
    words = Words(search, {}, plan.builder().towers.vocabularies.text_limits)
    by_words = words.found(requests.inputs["query"].tolist(), width)
    rows = {one: row for row, one in enumerate(table.ids.tolist())}
    taken = [
        (request, places[rows[one]]) for request, all_of in enumerate(requests.answers) for one in all_of if one in rows
    ]
    found = {"taken": np.array(taken, np.int64).reshape(-1, 2)}
    for name, one in (("vector", by_vector), ("word", by_words)):
        found |= {f"{name}_scores": one.scores, f"{name}_places": np.where(one.rows >= 0, places[one.rows], -1)}
    return found


def _no_words(count: int) -> ItemWords:
    return ItemWords(np.zeros(0, np.int64), np.zeros(0, np.uint8), np.zeros(count + 1, np.int64))
