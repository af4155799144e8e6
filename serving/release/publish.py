"""A version's way: staged aside, held against what it must show, then in place or laid apart."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.command.console import UserError
from preprocessing.data.spec import read_spec
from serving.catalogue.data_records import Requests, held_out_requests
from serving.config import ServingConfig
from serving.graph.towers import towers_hash
from serving.inputs import FILTER_LISTS, VECTOR_LISTS
from serving.release.acceptance import ExactAnswers, Judge, ServedVersion, Verdict
from serving.release.build_model import Builder
from serving.release.fresh_items import Changes, StoredTower, amended_version, side_of
from serving.release.manifest import settled, sources
from serving.release.stored_vectors import stored_files, stored_in
from serving.release.tuning_sample import POOL
from serving.release.versions import REJECTED, ModelFolder


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
        requests = self._requests(widths, POOL * self._config.tuning.queries)
        with self._folder.staging() as aside:
            built = builder.build(aside, requests, widths, changes)
            manifest = (
                sources(self._config, builder.towers.vocabularies.encoding, job_dir, self._data_dir, widths)
                | built.described
            )
            return self._settle(aside, Staged(manifest, requests, built.exact))

    def _builder(self, job_dir: str) -> Builder:
        files = stored_files(self._vectors, towers_hash(job_dir)) if self._vectors else []
        return Builder(self._config, job_dir, self._data_dir, self._spec, [*map(stored_in, files)])

    def change(self, changes: Changes) -> int:
        """The version in place with other fresh items or tombstones; returns the exit status."""
        latest = self._folder.latest()
        if latest is None:
            raise UserError(f"--output {self._folder.path}: no version in it to change; name --job-dir to build one")
        before = self._folder.manifest(latest)
        requests = self._requests(before["widths"])
        with self._folder.staging() as aside:
            path = self._folder.model(latest)
            with StoredTower(path, before["index"]["kind"] == "scann") as embed:
                manifest = amended_version(path, before, changes, aside / "model", side_of(path, before, embed))
            return self._settle(aside, Staged(manifest, requests, None))

    def _requests(self, widths: dict[str, int], least: int = 0) -> Requests:
        requests = held_out_requests(self._data_dir, "validation", max(least, self._config.gate.requests), widths)
        if not len(requests):
            raise UserError(
                f"--data {self._data_dir}: no validation requests, by which an index is tuned and a version is judged"
            )
        return requests

    def _settle(self, aside: Path, staged: Staged) -> int:
        """Judges a staged version, and places it or lays it apart under the next number."""
        model = aside / "model"
        verdict = self._verdict(model, staged)
        version = self._folder.claim_version()
        manifest = settled(staged.manifest, version, model, verdict.figures, verdict.reasons)
        if verdict.reasons:
            apart = self._folder.reject(model, version, manifest)
        else:
            self._folder.publish(model, version, manifest)
        self._folder.prune(self._config.keep_versions, aside)
        if verdict.reasons:
            return self._rejected(apart, verdict.reasons)
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


def _said(manifest: dict[str, Any], path: str) -> str:
    found, chosen, side = manifest["measured"], manifest["tuning"]["chosen"], manifest["side_index"]
    beside = f" and {side['fresh']} fresh, {side['tombstones']} gone" if side["fresh"] or side["tombstones"] else ""
    return (
        f"{manifest['items']} items{beside}, {manifest['index']['kind']}; {found['index_recall']:.4f} of the exact "
        f"answers at {chosen['latency_ms']:.2f} ms, Recall@{found['offline_k']} {found['offline_recall']:.4f}; {path}"
    )
