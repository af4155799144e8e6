"""A version's way: staged aside, held against what it must show, then in place or laid apart."""

from __future__ import annotations

import datetime
import sys
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.command.console import UserError
from preprocessing.data.spec import read_spec
from serving.catalogue.data_records import Requests, eval_requests
from serving.config import ServingConfig
from serving.graph.towers import towers_hash
from serving.inputs import FILTER_LISTS, VECTOR_LISTS
from serving.release.acceptance import ExactAnswers, Judge, ServedVersion, Verdict
from serving.release.build_model import Builder, text_limits
from serving.release.fresh_items import Changes, amended_version
from serving.release.item_vectors import PrecomputedVectors
from serving.release.manifest import data_hash, describe_tuning, peak_memory_mb, size_of
from serving.release.shards import SHARDS, build_shards, prune_shards, publish_shards, shard_name, shard_reasons
from serving.release.versions import ModelFolder

REJECTED = 3


class Staged(NamedTuple):
    """A model that lies aside."""

    manifest: dict[str, Any]
    requests: Requests
    exact: ExactAnswers | None


class Release:
    """Writes versions of one model folder."""

    def __init__(self, config: ServingConfig, data_dir: str, output: str, vectors: str | None = None) -> None:
        self._config, self._data_dir, self._vectors = config, data_dir, vectors
        self._spec = read_spec(data_dir)
        self._folder = ModelFolder(output)

    def build(self, job_dir: str, changes: Changes) -> int:
        """A version of a job's towers and the data's catalogue; returns the exit status."""
        widths = served_widths(self._config, self._spec["history"])
        builder = self._builder(job_dir)
        requests = self._requests(widths)
        with self._folder.staging() as aside:
            version = self._folder.next_version()
            tuned_by = requests.slice(0, self._config.tuning.queries)
            built = builder.build(aside, version, tuned_by, widths, changes)
            manifest = self._sources(job_dir, widths) | built.described
            manifest |= {"target_recall": built.exact.target, "tuning": describe_tuning(built.tuned)}
            return self._settle(aside, version, Staged(manifest, requests, built.exact))

    def build_shards(self, job_dir: str, shards: int) -> int:
        """One version of every shard's model and of the query model; returns the exit status."""
        widths = served_widths(self._config, self._spec["history"])
        builder = self._builder(job_dir)
        requests = self._requests(widths).slice(0, self._config.tuning.queries)
        output = self._folder.path
        with self._folder.staging() as aside:
            folders = [ModelFolder(str(output / shard_name(number, shards))) for number in range(shards)]
            version = max(folder.next_version() for folder in [self._folder, *folders])
            built = build_shards(builder, aside, version, requests, widths, shards)
            with_scann = self._config.index == "scann"
            reasons = [one for shard in built for one in shard_reasons(aside / shard.name, with_scann, shard)]
            manifest = self._sources(job_dir, widths) | {"version": version, "created": _now(), "reasons": reasons}
            manifest["shards"] = {
                shard.name: {"items": shard.items, "tuning": describe_tuning(shard.tuned)} for shard in built
            }
            if reasons:
                return self._rejected(self._folder.reject(aside, version, manifest), reasons)
            publish_shards(output, aside, version, built, manifest)
            prune_shards(output, built, self._config.keep_versions)
        print(f"{sum(shard.items for shard in built)} items in {shards} shards; {output}/{SHARDS}")
        return 0

    def _builder(self, job_dir: str) -> Builder:
        precomputed = PrecomputedVectors(self._vectors, towers_hash(job_dir)) if self._vectors else None
        return Builder(self._config, job_dir, self._data_dir, self._spec, precomputed)

    def _sources(self, job_dir: str, widths: dict[str, int]) -> dict[str, Any]:
        """Where a version comes from and how it was asked for."""
        return {
            "job_dir": job_dir,
            "towers_hash": towers_hash(job_dir),
            "data": self._data_dir,
            "data_hash": data_hash(self._data_dir),
            "text": text_limits(self._spec),
            "widths": widths,
            "default_k": self._config.default_k,
            "max_k": self._config.max_k,
            "config": self._config.model_dump(mode="json"),
        }

    def change(self, changes: Changes) -> int:
        """The version in place with other fresh items or tombstones; returns the exit status."""
        latest = self._folder.latest()
        if latest is None:
            raise UserError(f"--output {self._folder.path}: no version in it to change; name --job-dir to build one")
        before = self._folder.manifest(latest)
        requests = self._requests(before["widths"])
        with self._folder.staging() as aside:
            version = self._folder.next_version()
            manifest = amended_version(self._folder.model(latest), before, changes, aside)
            return self._settle(aside, version, Staged(manifest, requests, None))

    def _requests(self, widths: dict[str, int]) -> Requests:
        count = max(self._config.tuning.queries, self._config.gate.requests)
        requests = eval_requests(self._data_dir, count, widths)
        if not len(requests):
            raise UserError(
                f"--data {self._data_dir}: no eval requests, by which an index is tuned and a version is judged"
            )
        return requests

    def _settle(self, aside: Path, version: int, staged: Staged) -> int:
        """Judges a staged version and places it."""
        model = aside / "model"
        verdict = self._verdict(model, staged)
        manifest = {
            "version": version,
            "created": _now(),
            **{name: value for name, value in staged.manifest.items() if name not in ("version", "created")},
            "bytes": size_of(model),
            "measured": {**staged.manifest.get("measured", {}), **verdict.figures},
            "reasons": verdict.reasons,
            "peak_memory_mb": peak_memory_mb(),
        }
        if verdict.reasons:
            return self._rejected(self._folder.reject(model, version, manifest), verdict.reasons)
        self._folder.publish(model, version, manifest)
        self._folder.prune(self._config.keep_versions, aside)
        print(_said(manifest, self._folder.model(version)))
        return 0

    @staticmethod
    def _rejected(apart: Path, reasons: list[str]) -> int:
        sys.stderr.write(f"rejected: {'; '.join(reasons)}; it lies in {apart}\n")
        return REJECTED

    def _verdict(self, model: Path, staged: Staged) -> Verdict:
        in_place = []
        for version in reversed(self._folder.published()):
            before = self._folder.manifest(version)
            in_place.append(
                ServedVersion(self._folder.model(version), before["index"]["kind"] == "scann", before["widths"])
            )
        requests = staged.requests.slice(0, self._config.gate.requests)
        judge = Judge(requests, staged.manifest["widths"], self._config.gate)
        return judge.verdict(str(model), staged.manifest["index"]["kind"] == "scann", staged.exact, in_place)


def served_widths(config: ServingConfig, history: dict[str, Any]) -> dict[str, int]:
    """The places of each list input: the config's, else what the data's histories were cut to."""
    cut = {
        "history_queries": history["queries"],
        "realtime_items": history["realtime"],
        "short_items": history["short"],
    }
    given = config.widths.model_dump()
    widths = {name: given[name] or max(1, cut.get(name, history["long"])) for name in VECTOR_LISTS}
    return widths | {name: given[name] for name in FILTER_LISTS}


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _said(manifest: dict[str, Any], path: str) -> str:
    found, chosen, side = manifest["measured"], manifest["tuning"]["chosen"], manifest["side_index"]
    beside = f" and {side['fresh']} fresh, {side['tombstones']} gone" if side["fresh"] or side["tombstones"] else ""
    return (
        f"{manifest['items']} items{beside}, {manifest['index']['kind']}; {found['index_recall']:.4f} of the exact "
        f"answers at {chosen['latency_ms']:.2f} ms, Recall@{found['offline_k']} {found['offline_recall']:.4f}; {path}"
    )
