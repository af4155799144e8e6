"""A catalogue over several models: each searches its own part, one more makes the vectors.

`<output>/shards.json` is the contract with whoever asks them:

    {"version": 7,
     "query": {"name": "query", "target": "query:8500"},
     "shards": [{"name": "shard-00000-of-00002", "target": "shard-00000-of-00002:8500", "items": 131}, ...]}

* `name` is a model's, and its folder's beside the file; `target` is where it is served (`serving.shard_target`),
  several servers with commas between them.
* `query` has `embed_query` and `embed_item`. A shard has `search` (`embedding`, `k`) and `search_filtered`, which takes
  the conditions as well. Each item is in one shard, by its id; answers are merged by score.
* All models have the version that the file names, whole, before the file is replaced, by a rename. A reader looks at
  the file again and again, and names that version in every call, so that no vector of one version meets the items of
  another. It goes over to a new version once every model serves it; servers therefore keep two loaded.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from preprocessing.command.console import UserError
from serving.catalogue.data_records import Requests
from serving.catalogue.table import Table
from serving.graph.saved_model import ServedModel
from serving.graph.signatures import Embedder, Searcher, save
from serving.release.acceptance import ExactAnswers, index_recalls, line_of, short_of
from serving.release.build_model import Builder, Clock, Queries, exact_answers
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
    builder: Builder, aside: Path, samples: tuple[Requests, Requests], widths: Mapping[str, int], shards: int
) -> list[Shard]:
    """Saves `<aside>/query` and `<aside>/shard-*`, one after the other, so that one index at a time is in memory."""
    table, vectors = builder.embed(aside)
    items = builder.items(table, aside)
    queries = builder.queries(items, *samples)
    embedder = Embedder(builder.query_tower, builder.item_tower, items, widths)
    signatures = embedder.signatures()
    save(embedder, str(aside / QUERY), signatures)
    builder.write_extras(aside / QUERY, signatures, samples[0], widths)
    numbers = shard_numbers(table.ids, shards)
    built = []
    for number in range(shards):
        rows = np.flatnonzero(numbers == number)
        if not len(rows):
            raise UserError(f"--shards {shards}: no item of the {len(table)} falls into shard {number}; ask for fewer")
        name = shard_name(number, shards)
        part = table.part(rows)
        shard, called = _build_shard(builder, aside, name, part, vectors[rows], queries, widths)
        builder.write_extras(aside / name, called, samples[0], widths, shard.tuned)
        built.append(shard)
    return built


def _build_shard(
    builder: Builder,
    aside: Path,
    name: str,
    table: Table,
    vectors: np.ndarray,
    queries: Queries,
    widths: Mapping[str, int],
) -> tuple[Shard, Collection[str]]:
    """Saves one shard; returns what is known of it, and the names of its signatures."""
    items = builder.items(table, aside)
    unique = f"{aside.parent.name}/{name}/{aside.name}"
    found = builder.searched(vectors, items, queries, unique, Clock())
    searcher = Searcher(items, found.retrieval, widths)
    signatures = searcher.signatures(filtered=True)
    save(searcher, str(aside / name), signatures)
    exact = exact_answers(found.retrieval, vectors, queries.tuned_by, found.tuned, builder.target_recall)
    return Shard(name, len(table), found.tuned, exact), signatures.keys()


def shard_reasons(path: Path, with_scann: bool, shard: Shard) -> list[str]:
    """What speaks against a staged shard."""
    try:
        with ServedModel(str(path), with_scann) as model:
            recalls = index_recalls(model, shard.exact)
    except Exception as error:  # whatever goes wrong here would go wrong where it is served
        return [f"{shard.name} does not load or answer: {line_of(error)}"]
    return [f"{shard.name}: {reason}" for reason in short_of(recalls, shard.exact.target)]


def publish_shards(
    output: Path, aside: Path, version: int, shards: list[Shard], manifest: dict[str, Any], target: str
) -> None:
    """Places every model, then names them all in `shards.json`; `target` has `{name}` where a model's name goes."""
    names = [QUERY, *(shard.name for shard in shards)]
    for name in names:
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            os.rename(aside / name, beside / "model")
            folder.publish(beside / "model", version, manifest | {"model": name})
    listed = {
        "version": version,
        "query": {"name": QUERY, "target": target.format(name=QUERY)},
        "shards": [
            {"name": shard.name, "target": target.format(name=shard.name), "items": shard.items} for shard in shards
        ],
    }
    (aside / SHARDS).write_text(json.dumps(listed, indent=1))
    os.replace(aside / SHARDS, output / SHARDS)


def prune_shards(output: Path, shards: list[Shard], keep: int) -> None:
    """Removes all but the newest versions of every model."""
    for name in (QUERY, *(shard.name for shard in shards)):
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            folder.prune(keep, beside)
