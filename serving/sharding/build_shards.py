"""A catalogue to models in a folder aside, step by step; broken off, the same call goes on where it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from serving.catalogue.data_records import Requests
from serving.release.channel_weights import most_asked
from serving.sharding.array_folders import read_numbers
from serving.sharding.deal_items import DealItems, StoreVectors
from serving.sharding.gather_items import GatherItems
from serving.sharding.plan import Plan
from serving.sharding.query_model import MODEL, SAMPLES, MakeQueryModel
from serving.sharding.shard_model import MakeShardModel, built_shard
from serving.sharding.shards import Sharded, fusion_rule
from serving.sharding.weigh_shards import described, weigh_shards
from serving.sharding.word_ranges import MergeWords
from serving.sharding.workers import Workers

_IDENTITY = "identity.json"


def build_shards(plan: Plan, pool: Requests, workers: Workers) -> Sharded:
    """Makes the models of `plan.query` and `plan.models`; who calls holds none of the catalogue in memory."""
    samples = (*plan.builder().samples(pool), most_asked(pool))
    plan.keep(dict(zip(SAMPLES, samples, strict=True)))
    workers.each("tables of vectors", plan.stored, StoreVectors(plan))
    workers.each("catalogue files", plan.parts, DealItems(plan))
    workers.each("ranges of words", plan.words, MergeWords(plan))
    workers.each("model of queries", [plan.query], MakeQueryModel(plan))
    workers.each("items of shards", plan.gathered, GatherItems(plan))
    weighed = weigh_shards(plan)
    workers.each("models of shards", plan.models, MakeShardModel(plan))
    stored = sum(read_numbers(part / "counts")["stored"] for part in plan.parts)
    shards = [built_shard(plan, number) for number in range(plan.shards)]
    return Sharded(
        shards, fusion_rule(weighed.chosen.fusion), {"channels": described(weighed), "precomputed_vectors": stored}
    )


def begin(folder: Path, identity: Mapping[str, Any]) -> None:
    """Makes a folder ready for a build; what another build left there goes, and models that were taken out of it."""
    known = folder / _IDENTITY
    content = json.dumps(identity, sort_keys=True)
    if not known.exists() or known.read_text() != content:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        known.write_text(content)
    for made in (folder / "query", *folder.glob("models/*")):
        if made.is_dir() and not (made / MODEL).is_dir():
            shutil.rmtree(made)
