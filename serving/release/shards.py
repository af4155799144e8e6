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
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from preprocessing.command.console import UserError
from serving.catalogue.data_records import Requests
from serving.catalogue.table import Table
from serving.graph.signatures import Searcher, save
from serving.release.acceptance import ExactAnswers
from serving.release.build_model import Builder, Clock, Queries, encoded, exact_answers
from serving.release.fresh_items import Changes, StoredTower, amended_version, side_of
from serving.release.manifest import describe_build
from serving.release.versions import ModelFolder

SHARDS = "shards.json"
QUERY = "query"


class Shard(NamedTuple):
    """One part, saved aside."""

    name: str
    described: dict[str, Any]  # for its manifest
    exact: ExactAnswers | None  # what its index must find; none where the index was measured before

    @property
    def needs_scann(self) -> bool:
        """Whether ScaNN's ops must be loaded for it."""
        return self.described["index"]["kind"] == "scann"


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
    embedder = builder.embedder(items, table, widths)
    queries = Queries(*encoded(embedder.query_encoder, *samples))
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
        built.append(_build_shard(builder, aside / name, part, vectors[rows], queries, samples[0], widths))
    return built


def _build_shard(
    builder: Builder,
    path: Path,
    table: Table,
    vectors: np.ndarray,
    queries: Queries,
    requests: Requests,
    widths: Mapping[str, int],
) -> Shard:
    items = builder.items(table, path.parent)
    unique = f"{path.parent.parent.name}/{path.name}/{path.parent.name}"
    found = builder.searched(vectors, table, items, queries, unique, Clock())
    searcher = Searcher(items, found.retrieval, widths)
    signatures = searcher.signatures(filtered=True)
    save(searcher, str(path), signatures)
    exact = exact_answers(path, vectors, queries.tuned_by, found.tuned, builder.target_recall)
    described = describe_build(found.retrieval.index, found.tuned, builder.target_recall) | {
        "int8_compared": found.compared,
        "side_index": {"fresh": 0, "tombstones": 0},
        "warmup_requests": builder.write_extras(path, signatures, requests, widths, found.tuned),
    }
    return Shard(path.name, described, exact)


def amend_shards(output: Path, listed: dict[str, Any], changes: Changes, aside: Path) -> list[Shard]:
    """Saves the models in place as `<aside>/<name>`, with other fresh items or tombstones, each those of its part."""
    version = listed["version"]
    query = ModelFolder(str(output / QUERY))
    amended = []
    with StoredTower(query.model(version), scann=False) as embed:
        side = side_of(query.model(version), query.manifest(version), embed)
        of_queries = Changes(changes.fresh)  # it knows fresh items in users' pasts
        amended_version(query.model(version), query.manifest(version), of_queries, aside / QUERY, side)
        side = side._replace(vocabularies=None)
        for number, place in enumerate(listed["shards"]):
            folder = ModelFolder(str(output / place["name"]))
            part = _part_of(changes, number, len(listed["shards"]))
            model = aside / place["name"]
            described = amended_version(folder.model(version), folder.manifest(version), part, model, side)
            amended.append(Shard(place["name"], described, None))
    return amended


def _part_of(changes: Changes, number: int, shards: int) -> Changes:
    """What of some changes is one shard's."""

    def mine(item_id: bytes) -> bool:
        return bool(shard_numbers(np.array([item_id], object), shards)[0] == number)

    fresh = changes.fresh and [one for one in changes.fresh if mine(one.item_id.encode())]
    return Changes(fresh, changes.tombstones and {one for one in changes.tombstones if mine(one)})


def read_listed(output: Path) -> dict[str, Any] | None:
    """What `shards.json` says; none where there is none."""
    path = output / SHARDS
    return json.loads(path.read_text()) if path.exists() else None


def publish_shards(output: Path, aside: Path, manifests: Mapping[str, dict[str, Any]], target: str) -> None:
    """Places every model that has a manifest, then names them all; `target` has `{name}` for a model's name."""
    for name, manifest in manifests.items():
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            os.rename(aside / name, beside / "model")
            folder.claim_version(manifest["version"])  # the release's own number; while it is claimed none prunes it
            folder.publish(beside / "model", manifest["version"], manifest)
    places = {name: {"name": name, "target": target.format(name=name)} for name in manifests}
    query = places.pop(QUERY)
    shards = [place | {"items": manifests[name]["items"]} for name, place in places.items()]
    listed = {"version": manifests[QUERY]["version"], "query": query, "shards": shards}
    (aside / SHARDS).write_text(json.dumps(listed, indent=1))
    os.replace(aside / SHARDS, output / SHARDS)


def prune_shards(output: Path, names: Iterable[str], keep: int) -> None:
    """Removes all but the newest versions of every model."""
    for name in names:
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            folder.prune(keep, beside)
