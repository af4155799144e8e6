"""A batch job: what is asked of which model, of which rows, and where the answers go."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import pyarrow
from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from serving.batch.feeds import FEEDS
from serving.batch.inference import (
    BlockHandler,
    ItemEmbedder,
    JobItemTower,
    ModelRetriever,
    SavedModel,
    ServerRetriever,
    Servers,
    check_servers,
)
from serving.batch.rows import QUERIES, ItemRow, QueryRow, Row, item_schema
from serving.batch.similar_rows import ITEMS, ItemRequestRow, ModelNeighbours, ServerNeighbours
from serving.config import scann_installed

FEED = "feed"


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked of a model, and where the answers go."""

    mode: str  # embed, retrieve or similar
    id_name: str
    parse: Callable[[Mapping[str, Any]], Row]
    schema: pyarrow.Schema  # of the rows
    handler: BlockHandler
    identity: dict[str, Any]  # of the model: answers of another are not carried over
    incremental: bool  # whether the output in place is, too, carried over
    output: str
    format: str
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    shards: int = 16
    max_rejected_share: float = 0.05

    def name(self, before: dict[str, Any] | None) -> str:
        """Of the output's files: no two runs' names meet, so that a reader of the last run's is never disturbed."""
        return f"{'vectors' if self.mode == 'embed' else 'answers'}-{generation(before):05d}"

    def feed_name(self, before: dict[str, Any] | None) -> str | None:
        """Of the folder with what a store takes in; None where the format is no store's."""
        return f"{FEED}-{generation(before):05d}" if self.format in FEEDS else None

    def comparable(self, before: dict[str, Any] | None) -> bool:
        """Whether what is in place is of the same model, so that it can be carried over."""
        return before is not None and self.incremental and before["identity"] == self.identity


def generation(before: dict[str, Any] | None) -> int:
    """The number of the run that comes behind one that wrote this manifest."""
    return before["generation"] + 1 if before else 1


class Version(NamedTuple):
    """A version of a model folder."""

    path: str
    manifest: dict[str, Any]

    @property
    def scann(self) -> bool:
        """Whether ScaNN's ops must be loaded."""
        return self.manifest["index"]["kind"] == "scann"


def embed_job(job_dir: str | None, model: str | None, max_batch: int, **shared: Any) -> Job:
    """Items to vectors, by a job's item tower or by a version's."""
    if job_dir is not None:
        from serving.graph.towers import towers_hash  # TensorFlow comes with it

        path = job_dir.rstrip("/")
        encoding = tower_encoding(path)
        tower: JobItemTower | SavedModel = JobItemTower(path)
        towers = towers_hash(path)
    else:
        version = find_version(str(model))
        tower = SavedModel(version.path, "embed_item", version.scann)
        towers, encoding = version.manifest["towers_hash"], version.manifest["encoding"]
    handler, identity = ItemEmbedder(tower, max_batch), {"towers_hash": towers}
    parse, schema = ItemRow(encoding), item_schema(encoding)
    return Job("embed", "item_id", parse, schema, handler, identity, incremental=True, **shared)


def tower_encoding(job_dir: str) -> dict[str, Any]:
    """What the ids of a job's towers hang on, and how wide the vectors are that its item tower reads."""
    path = f"{job_dir}/towers/encoding.json"
    if not FileSystems.exists(f"{job_dir}/towers/item/saved_model.pb"):
        from serving.graph.towers import no_towers  # TensorFlow comes with it

        raise no_towers(job_dir, "item")
    if not FileSystems.exists(path):
        raise UserError(f"--job-dir {job_dir}: no towers/encoding.json in it; train it with python -m trainer.task")
    with FileSystems.open(path) as file:
        return json.loads(file.read())


def retrieve_job(mode: str, model: str, k: int, max_batch: int, **shared: Any) -> Job:
    """Queries to items, or items to their neighbours, by a version in process."""
    version = find_version(model)
    asked = SavedModel(version.path, mode, version.scann)
    handler = ModelRetriever(asked, max_batch) if mode == "retrieve" else ModelNeighbours(asked, max_batch)
    named = {name: version.manifest[name] for name in ("version", "created", "towers_hash", "data_hash")}
    return Job(mode, *_rows_of(mode, k), handler, named, incremental=False, **shared)


def server_job(mode: str, servers: Servers, k: int, max_batch: int, **shared: Any) -> Job:
    """The same by running servers."""
    asked = dataclasses.asdict(servers) | {"targets": list(servers.targets)}
    asked.pop("timeout")
    identity = asked | {"versions": check_servers(servers)}
    handler = ServerRetriever(servers, max_batch) if mode == "retrieve" else ServerNeighbours(servers, max_batch)
    return Job(mode, *_rows_of(mode, k), handler, identity, incremental=False, **shared)


def _rows_of(mode: str, k: int) -> tuple[str, Callable[[Mapping[str, Any]], Row], pyarrow.Schema]:
    """What names a row, who reads it, and its columns."""
    if mode == "retrieve":
        return "request_id", QueryRow(k), QUERIES
    return "item_id", ItemRequestRow(k), ITEMS


def find_version(model: str) -> Version:
    """A model folder's newest version, or the one that is named."""
    path = model.rstrip("/")
    if PurePosixPath(path).name.isdecimal() and FileSystems.exists(f"{path}/saved_model.pb"):
        return _version(path)
    found = FileSystems.match([FileSystems.join(path, "*", "saved_model.pb")])[0].metadata_list
    names = [PurePosixPath(one.path).parent.name for one in found]
    versions = [int(name) for name in names if name.isdecimal()]
    if not versions:
        raise UserError(f"--model {model}: no version in it; write one with python -m serving.export")
    return _version(FileSystems.join(path, str(max(versions))))


def _version(path: str) -> Version:
    folder, number = path.rsplit("/", 1) if "/" in path else (".", path)
    manifest = f"{folder}/manifest-{number}.json"
    if not FileSystems.exists(manifest):
        raise UserError(f"--model {path}: no {manifest} beside it; write the version with python -m serving.export")
    with FileSystems.open(manifest) as file:
        described = json.loads(file.read())
    if "index" not in described:
        raise UserError(f"--model {path} is a shard; serve them all and name --target")
    version = Version(path, described)
    if version.scann and not scann_installed():
        raise UserError(f"--model {path} has a ScaNN index, and scann is not installed here; name a portable version")
    return version
