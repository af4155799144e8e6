"""A catalogue over several models: each searches its own part, one more makes the vectors."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from preprocessing.command.console import UserError
from serving.catalogue.data_records import Requests
from serving.catalogue.table import Table
from serving.graph.saved_model import ServedModel
from serving.graph.signatures import Embedder, Searcher, save
from serving.release.acceptance import ExactAnswers, index_recall, line_of
from serving.release.build_model import Builder, Clock, embed_requests, exact_answers
from serving.release.tune_effort import Tuned
from serving.release.versions import ModelFolder

SHARDS = "shards.json"
QUERY = "query"


class Shard(NamedTuple):
    """One part, saved aside."""

    name: str
    items: int
    tuned: Tuned
    exact: ExactAnswers


def shard_numbers(ids: np.ndarray, shards: int) -> np.ndarray:
    """Which shard each of some item ids belongs to: by its id alone, so that it stays where it is."""
    return np.array([zlib.crc32(one) % shards for one in ids.tolist()], np.int64)


def shard_name(number: int, shards: int) -> str:
    """As in `shard-00002-of-00008`."""
    return f"shard-{number:05d}-of-{shards:05d}"


def build_shards(
    builder: Builder, aside: Path, version: int, requests: Requests, widths: Mapping[str, int], shards: int
) -> list[Shard]:
    """Saves `<aside>/query` and `<aside>/shard-*`, one after the other, so that one index at a time is in memory."""
    table, vectors = builder.embed(aside)
    items = builder.items(table, aside)
    queries = embed_requests(builder.query_tower, items, requests)
    embedder = Embedder(builder.query_tower, builder.item_tower, items, widths)
    save(embedder, str(aside / QUERY), embedder.signatures())
    numbers = shard_numbers(table.ids, shards)
    built = []
    for number in range(shards):
        rows = np.flatnonzero(numbers == number)
        if not len(rows):
            raise UserError(f"--shards {shards}: no item of the {len(table)} falls into shard {number}; ask for fewer")
        name = shard_name(number, shards)
        part = table.part(rows)
        built.append(_build_shard(builder, aside, name, version, part, vectors[rows], queries, widths))
    return built


def _build_shard(
    builder: Builder,
    aside: Path,
    name: str,
    version: int,
    table: Table,
    vectors: np.ndarray,
    queries: np.ndarray,
    widths: Mapping[str, int],
) -> Shard:
    items = builder.items(table, aside)
    unique = f"{aside.parent.name}/{name}/{version}/{aside.name}"
    found = builder.searched(vectors, items, queries, unique, Clock())
    searcher = Searcher(items, found.retrieval, widths)
    save(searcher, str(aside / name), searcher.signatures(filtered=True))
    exact = exact_answers(found.retrieval, vectors, queries, found.tuned, builder.target_recall)
    return Shard(name, len(table), found.tuned, exact)


def shard_reasons(path: Path, with_scann: bool, shard: Shard) -> list[str]:
    """What speaks against a staged shard."""
    try:
        with ServedModel(str(path), with_scann) as model:
            recall = index_recall(model, shard.exact)
    except Exception as error:  # whatever goes wrong here would go wrong where it is served
        return [f"{shard.name} does not load or answer: {line_of(error)}"]
    if recall < shard.exact.target:
        return [f"{shard.name} finds {recall:.4f} of its exact answers, --target-recall is {shard.exact.target}"]
    return []


def publish_shards(output: Path, aside: Path, version: int, shards: list[Shard], manifest: dict[str, Any]) -> None:
    """Places every model, then names them all in `shards.json`: until it changes, clients stay where they are."""
    names = [QUERY, *(shard.name for shard in shards)]
    for name in names:
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            os.rename(aside / name, beside / "model")
            folder.publish(beside / "model", version, manifest | {"model": name})
    listed = {
        "version": version,
        "query": QUERY,
        "shards": [{"name": shard.name, "items": shard.items} for shard in shards],
    }
    (aside / SHARDS).write_text(json.dumps(listed, indent=1))
    os.replace(aside / SHARDS, output / SHARDS)


def prune_shards(output: Path, shards: list[Shard], keep: int) -> None:
    """Removes all but the newest versions of every model."""
    for name in (QUERY, *(shard.name for shard in shards)):
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            folder.prune(keep, beside)
