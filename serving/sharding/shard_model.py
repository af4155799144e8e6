"""The last step: a shard's index over its items, tuned, with its lists, saved."""

from __future__ import annotations

import dataclasses
import secrets
from pathlib import Path

import numpy as np

from serving.graph.shard_lists import ShardLists
from serving.graph.signatures import Searcher, save
from serving.release.acceptance import ExactAnswers
from serving.release.build_model import Clock, Queries, exact_answers
from serving.release.manifest import describe_build
from serving.sharding.array_folders import Arrays, made_whole, read_array, read_numbers, write_arrays
from serving.sharding.gather_items import read_gathered
from serving.sharding.plan import Plan
from serving.sharding.query_model import MODEL, read_spellings
from serving.sharding.shards import Shard, shard_name
from serving.sharding.weigh_shards import read_weighed

_EXACT = "exact"


@dataclasses.dataclass(frozen=True)
class MakeShardModel:
    """Makes `plan.models[n]`: the saved model of a shard, what is said of it, and the exact answers of its index."""

    plan: Plan

    def __call__(self, number: int) -> None:
        plan, builder, weighed = self.plan, self.plan.builder(), read_weighed(self.plan)
        table, vectors, places, words = read_gathered(plan.gathered[number])
        queries = Queries(*(read_array(plan.query, name) for name in Queries._fields))
        name = shard_name(number, plan.shards)
        with made_whole(plan.models[number]) as folder:
            items = builder.items(table, folder)
            unique, clock = f"{name}/{secrets.token_hex(8)}", Clock()
            found = builder.searched(vectors, table, words, items, queries, unique, clock)
            lists = None
            if weighed.chosen.fusion.asks_words:
                search = builder.word_search(found.retrieval.filter.lists, read_spellings(plan))
                lists = ShardLists(items, builder.channels(found.retrieval, search, weighed, plan.widths), places)
            searcher = Searcher(items, found.retrieval, plan.widths, lists)
            signatures = searcher.signatures(filtered=True)
            save(searcher, str(folder / MODEL), signatures)
            exact = exact_answers(folder / MODEL, vectors, queries.tuned_by, found.tuned, builder.target_recall)
            requests = plan.requests("tuned_by")
            described = describe_build(found.retrieval.index, found.tuned, builder.target_recall) | {
                "int8_compared": found.compared,
                "side_index": {"fresh": 0, "tombstones": 0},
                "warmup_requests": builder.write_extras(folder / MODEL, signatures, requests, plan.widths, found.tuned),
                "seconds": clock.laps,
            }
            arrays: Arrays = {"queries": exact.queries, "item_ids": exact.item_ids.reshape(-1)}
            write_arrays(folder / _EXACT, arrays, k=exact.item_ids.shape[1], described=described)
            for left in folder.glob("*.txt"):  # lists of ids that are assets of the model by now
                left.unlink()


def built_shard(plan: Plan, number: int) -> Shard:
    """What is said of a shard's model."""
    described = read_numbers(plan.models[number] / _EXACT)["described"]
    return Shard(shard_name(number, plan.shards), described, plan.models[number])


def read_exact(folder: Path, target: float) -> ExactAnswers:
    """What the index of a shard must find."""
    path = folder / _EXACT
    ids = read_array(path, "item_ids").reshape(-1, read_numbers(path)["k"])
    return ExactAnswers(np.asarray(read_array(path, "queries")), ids, target)
