"""A catalogue over several models: each searches its own part, one more makes the vectors.

`<output>/shards.json` is the contract with whoever asks them:

    {"version": 7,
     "query": {"name": "query", "target": "query:8500"},
     "shards": [{"name": "shard-00000-of-00002", "target": "shard-00000-of-00002:8500", "items": 131}, ...],
     "fusion": {"by": "scores", "constant": 60, "depth": 100, "weights": [[0.4, 0.6]]}}

* `name` is a model's, and its folder's beside the file; `target` is where it is served (`serving.shard_target`),
  several servers with commas between them.
* `query` has `embed_query` and `embed_item`. A shard has `search` (`embedding`, `k`) and `search_filtered`, which takes
  the conditions as well. Each item is in one shard, by its id; answers are merged by score.
* `fusion` is there where words are asked: a shard then has `search_channels` (`query` besides), the list of either
  channel as deep as max(k, `depth`). Each channel's lists are merged by score, of equal ones the lower place first;
  then the two are fused, by the weights of the query's kind (`serving.retriever.fuse_lists` does all of it).
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

from preprocessing.words.channel_fusion import CONSTANT, LEAST_DEPTH, Fusion
from serving.release.fresh_items import Changes, StoredTower, amended_version, side_of
from serving.release.versions import ModelFolder

SHARDS = "shards.json"
QUERY = "query"


class Shard(NamedTuple):
    """One part, saved aside."""

    name: str
    described: dict[str, Any]  # for its manifest
    built: Path | None  # where it was built, with what its index must find; none where that was measured before

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


class Sharded(NamedTuple):
    """All parts, and how their channels are fused."""

    shards: list[Shard]
    fusion: dict[str, Any] | None  # for `shards.json`; none where vectors alone are asked
    described: dict[str, Any]  # for the manifest of queries


def fusion_rule(fusion: Fusion) -> dict[str, Any] | None:
    """A fusion as `shards.json` has it."""
    if not fusion.asks_words:
        return None
    return {"by": fusion.by, "constant": CONSTANT, "depth": LEAST_DEPTH, "weights": [*map(list, fusion.weights)]}


def amend_shards(output: Path, listed: dict[str, Any], changes: Changes, aside: Path) -> Sharded:
    """Saves the models in place as `<aside>/<name>`, with other fresh items or tombstones, each those of its part."""
    version = listed["version"]
    query = ModelFolder(str(output / QUERY))
    amended = []
    with StoredTower(query.model(version), scann=False) as embed:
        side = side_of(query.model(version), query.manifest(version), embed)
        of_queries = Changes(changes.fresh)  # it knows fresh items in users' pasts
        amended_version(query.model(version), query.manifest(version), of_queries, aside / QUERY, side)
        size = sum(place["items"] for place in listed["shards"])
        ids = dict.fromkeys(one.item_id.encode() for one in changes.fresh or ())
        side = side._replace(vocabularies=None, places={one: size + place for place, one in enumerate(ids)})
        for number, place in enumerate(listed["shards"]):
            folder = ModelFolder(str(output / place["name"]))
            part = _part_of(changes, number, len(listed["shards"]))
            model = aside / place["name"]
            described = amended_version(folder.model(version), folder.manifest(version), part, model, side)
            amended.append(Shard(place["name"], described, None))
    return Sharded(amended, listed.get("fusion"), {})


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


def publish_shards(
    output: Path, aside: Path, manifests: Mapping[str, dict[str, Any]], target: str, fusion: dict[str, Any] | None
) -> None:
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
    listed |= {} if fusion is None else {"fusion": fusion}
    (aside / SHARDS).write_text(json.dumps(listed, indent=1))
    os.replace(aside / SHARDS, output / SHARDS)


def prune_shards(output: Path, names: Iterable[str], keep: int) -> None:
    """Removes all but the newest versions of every model."""
    for name in names:
        folder = ModelFolder(str(output / name))
        with folder.staging() as beside:
            folder.prune(keep, beside)
