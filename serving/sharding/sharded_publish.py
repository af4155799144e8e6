"""A sharded version's way: every model staged aside, judged together, then in place under one number."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from serving.catalogue.data_records import Requests, catalog_files
from serving.graph.saved_model import ServedModel
from serving.graph.towers import towers_hash
from serving.release.acceptance import (
    answered_share,
    call_with,
    index_recalls,
    line_of,
    regressed,
    retrieve_inputs,
    short_of,
)
from serving.release.fresh_items import Changes
from serving.release.manifest import settled, sources
from serving.release.publish import Release, served_widths
from serving.release.stored_vectors import stored_files
from serving.release.tuning_sample import POOL
from serving.release.versions import ModelFolder
from serving.retriever.fuse_lists import Listed, Rule, fuse, merged
from serving.sharding.build_shards import begin, build_shards
from serving.sharding.plan import Plan
from serving.sharding.query_model import MODEL
from serving.sharding.shard_model import read_exact
from serving.sharding.shards import (
    QUERY,
    SHARDS,
    Shard,
    Sharded,
    amend_shards,
    prune_shards,
    publish_shards,
    read_listed,
)
from serving.sharding.workers import Workers

BUILDING = ".building"
_BATCH = 32
Inputs = dict[str, np.ndarray]
Models = Mapping[str, tuple[str, bool]]  # name -> where a model lies, whether it needs ScaNN's ops; the query's first


class ShardedRelease(Release):
    """Writes versions of a catalogue in shards."""

    def build_shards(self, job_dir: str, shards: int, flags: Sequence[str] = ()) -> int:
        """One version of every shard's model and of the query model, by Beam's workers; returns the exit status."""
        if shards > self._spec["items"]:
            raise UserError(
                f"--shards {shards}: --data {self._data_dir} has {self._spec['items']} items; ask for fewer"
            )
        workers = Workers(flags, sum(tf.io.gfile.stat(path).length for path in catalog_files(self._data_dir)))
        widths = served_widths(self._config, self._spec["history"])
        plan = self._plan(job_dir, shards, widths)
        towers = plan.builder().towers
        common = sources(self._config, towers.vocabularies.encoding, job_dir, self._data_dir, widths)
        begin(plan.folder, {name: common[name] for name in ("towers_hash", "data_hash", "config")} | {"shards": shards})
        requests = self._requests(widths, POOL * self._config.tuning.queries)
        built = build_shards(plan, requests, workers)
        with self._folder.staging() as aside:
            os.rename(plan.query / MODEL, aside / QUERY)
            for shard, folder in zip(built.shards, plan.models, strict=True):
                os.rename(folder / MODEL, aside / shard.name)
            status = self._settle_shards(aside, built, common, requests)
        shutil.rmtree(plan.folder)
        return status

    def _plan(self, job_dir: str, shards: int, widths: dict[str, int]) -> Plan:
        """What workers are told, wherever they run: no path hangs on this process."""
        vectors = stored_files(self._vectors, towers_hash(job_dir)) if self._vectors else []
        places = [job_dir, self._data_dir, *vectors]
        job, data, *tables = (one if "://" in one else os.path.abspath(one) for one in places)
        return Plan(self._config, job, data, tables, self._folder.path.absolute() / BUILDING, shards, widths)

    def change(self, changes: Changes) -> int:
        """The version in place with other fresh items or tombstones; returns the exit status."""
        listed = read_listed(self._folder.path)
        if listed is None:
            raise UserError(f"--output {self._folder.path}: no {SHARDS} in it; name --job-dir to build shards")
        common = ModelFolder(str(self._folder.path / QUERY)).manifest(listed["version"])
        with self._folder.staging() as aside:
            amended = amend_shards(self._folder.path, listed, changes, aside)
            return self._settle_shards(aside, amended, common, self._requests(common["widths"]))

    def _settle_shards(self, aside: Path, built: Sharded, common: dict[str, Any], requests: Requests) -> int:
        """Judges staged models, and places all of them or lays them apart under the next number."""
        shards = built.shards
        figures, reasons = self._judge(aside, built, requests.slice(0, self._config.gate.requests), common["widths"])
        names = [QUERY, *(shard.name for shard in shards)]
        output = self._folder.path
        version = self._folder.claim_version(max(ModelFolder(str(output / name)).next_version() for name in names))
        items = sum(shard.described["items"] for shard in shards)
        whole = {"shards": len(shards), "items": items, "dim": shards[0].described["dim"]}
        whole |= built.described
        described = {QUERY: whole, **{shard.name: shard.described for shard in shards}}
        manifests = {
            name: settled(common | described[name] | {"model": name}, version, aside / name, figures, reasons)
            for name in names
        }
        if reasons:
            models = aside / "rejected"
            models.mkdir()
            for name in names:
                os.rename(aside / name, models / name)
            apart = self._folder.reject(models, version, manifests[QUERY])
            self._folder.prune(self._config.keep_versions, aside)
            return self._rejected(apart, reasons)
        publish_shards(output, aside, manifests, self._config.shard_target, built.fusion)
        self._folder.unclaim(version)
        prune_shards(output, names, self._config.keep_versions)
        found = f"Recall@{figures['offline_k']} {figures['offline_recall']:.4f}"
        print(f"{items} items in {len(shards)} shards, {found}; {output}/{SHARDS}")
        return 0

    def _judge(
        self, aside: Path, built: Sharded, requests: Requests, widths: dict[str, int]
    ) -> tuple[dict[str, Any], list[str]]:
        shards, target = built.shards, self._config.tuning.target_recall
        reasons = [one for shard in shards for one in _shard_reasons(aside / shard.name, shard, target)]
        if reasons:
            return {}, reasons
        config = self._config.gate
        staged = {QUERY: (str(aside / QUERY), False)}
        staged |= {shard.name: (str(aside / shard.name), shard.needs_scann) for shard in shards}
        found = _offline_recall(staged, built.fusion, requests, widths, config.k)
        figures: dict[str, Any] = {"offline_recall": found, "offline_k": config.k}
        before = self._recall_of_shards_in_place(requests)
        if before is None:
            return figures, []
        return figures | {"offline_recall_in_place": before}, regressed(found, before, config)

    def _recall_of_shards_in_place(self, requests: Requests) -> float | None:
        listed = read_listed(self._folder.path)
        if listed is None:
            return None
        version, models = listed["version"], {}
        try:
            for place in (listed["query"], *listed["shards"]):
                folder = ModelFolder(str(self._folder.path / place["name"]))
                manifest = folder.manifest(version)
                scann = manifest.get("index", {}).get("kind") == "scann"
                models[place["name"]] = (folder.model(version), scann)
            fusion = listed.get("fusion")
            return _offline_recall(models, fusion, requests, manifest["widths"], self._config.gate.k)
        except Exception as error:  # what is broken is not what servers answer by
            sys.stderr.write(f"version {version} does not load or answer, so it is not judged by: {line_of(error)}\n")
            return None


def _shard_reasons(path: Path, shard: Shard, target: float) -> list[str]:
    """What speaks against a staged shard."""
    if shard.built is None:
        return []
    exact = read_exact(shard.built, target)
    try:
        with ServedModel(str(path), shard.needs_scann) as model:
            recalls = index_recalls(model, exact)
    except Exception as error:  # whatever goes wrong here would go wrong where it is served
        return [f"{shard.name} does not load or answer: {line_of(error)}"]
    return [f"{shard.name}: {reason}" for reason in short_of(recalls, target)]


def _offline_recall(
    models: Models, fusion: dict[str, Any] | None, requests: Requests, widths: dict[str, int], k: int
) -> float:
    """As `acceptance.offline_recall`, of all shards together; one model at a time is in memory."""
    (query, _), *shards = models.values()
    inputs = [retrieve_inputs(batch, widths, k) for batch in requests.batches(_BATCH)]
    with ServedModel(query, False) as model:
        vectors = [call_with(model, "embed_query", one) for one in inputs]
    inputs = [one | vector for one, vector in zip(inputs, vectors, strict=True)]
    if fusion is not None:
        return answered_share(_fused(shards, Rule.read(fusion), inputs, k), requests)
    found = [_found(path, scann, "search", inputs) for path, scann in shards]
    scores, ids = (np.concatenate([one[name] for one in found], axis=1) for name in ("scores", "item_ids"))
    best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
    return answered_share(np.take_along_axis(ids, best, axis=1), requests)


def _found(path: str, scann: bool, signature: str, inputs: Sequence[Inputs]) -> Inputs:
    """The outputs of one shard's signature for R requests."""
    with ServedModel(path, scann) as model:
        answers = [call_with(model, signature, one) for one in inputs]
    return {name: np.concatenate([one[name] for one in answers]) for name in answers[0]}


def _fused(shards: Sequence[tuple[str, bool]], rule: Rule, inputs: Sequence[Inputs], k: int) -> np.ndarray:
    """The item ids `[R, k]` of both channels, as a client fuses them."""
    depth = max(k, rule.depth)
    deep = [one | {"k": np.full_like(one["k"], depth)} for one in inputs]
    found = [_found(path, scann, "search_channels", deep) for path, scann in shards]
    answers = np.full((len(found[0]["kinds"]), k), b"", object)
    for row in range(len(answers)):
        vector, words = (merged((_listed(one, prefix, row) for one in found), depth) for prefix in ("", "word_"))
        fused = fuse(rule, vector, words, int(found[0]["kinds"][row]), k)
        answers[row, : len(fused)] = [one.item_id.encode() for one in fused]
    return answers


def _listed(outputs: Inputs, prefix: str, row: int) -> list[Listed]:
    """One channel's list of one shard for one request."""
    columns = (outputs[f"{prefix}{name}"][row].tolist() for name in ("scores", "places", "item_ids"))
    return [Listed(score, place, one.decode()) for score, place, one in zip(*columns, strict=True) if one]
