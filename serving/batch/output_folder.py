"""The output folder: files staged aside, named by one manifest that is replaced at the end."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator
from typing import Any

from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.data.record_files import write_file
from serving.batch.answer_files import PART
from serving.batch.lease import leased
from serving.batch.steps import Known

MANIFEST, COUNTS_FILE, REJECTED_FILE = "batch.json", "counts.json", "rejected.jsonl"
_OURS = ("vectors-", "answers-", "feed-", "rejected-", f"{MANIFEST}.")
_STAGING, _IDENTITY, _PLAN, _LOCK = "_staging", "identity.json", "plan.json", ".lock"


class BatchFolder:
    """`<output>/` of a batch job; readers take the files that `batch.json` names."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.staging = FileSystems.join(path, _STAGING)

    def manifest(self) -> dict[str, Any] | None:
        """What the last whole run wrote."""
        return _read(FileSystems.join(self.path, MANIFEST))

    def files(self) -> list[str]:
        """The paths of the last whole run's tables."""
        manifest = self.manifest()
        return [FileSystems.join(self.path, name) for name in manifest["files"]] if manifest else []

    @contextlib.contextmanager
    def locked(self) -> Iterator[Callable[[], None]]:
        """One run at a time, here or on gs://; a folder with other things in it is not touched.

        Yields a check to be made before anything is replaced: it raises where the lock was lost on the way.
        """
        names = {name.split("/")[0] for name in _names(self.path)} - {_LOCK}
        if names and not names & {MANIFEST, _STAGING}:
            raise UserError(f"--output {self.path} holds files that are not this job's; name an empty folder")
        if self.path.startswith("gs://"):
            with leased(self.path, "--output") as lease:
                yield lease.check
        elif "://" in self.path:
            yield lambda: None
        else:
            with locked(self.path, "--output"):
                yield lambda: None

    def prepare(self, identity: dict[str, Any]) -> list[Known]:
        """Readies the staging folder; the parts of a run of the same identity that broke off stay, and are returned."""
        identity_path = FileSystems.join(self.staging, _IDENTITY)
        resumed = _read(identity_path) == identity
        for name in _names(self.staging):
            if not (resumed and (name == _IDENTITY or _is_part(name))):
                FileSystems.delete([FileSystems.join(self.staging, name)])
        try:
            if not FileSystems.exists(self.staging):
                FileSystems.mkdirs(self.staging)
            write_file(identity_path, [json.dumps(identity).encode()])
        except OSError as error:
            raise UserError(f"--output {self.path} cannot be written: {error}") from None
        parts = [name for name in _names(self.staging) if _is_part(name)]
        return [Known(FileSystems.join(self.staging, name), *_shard(name), in_place=False) for name in sorted(parts)]

    def in_place(self) -> list[Known]:
        """The last run's tables, to carry records over from."""
        return [Known(path, *_shard(path.rsplit("/", 1)[-1]), in_place=True) for path in self.files()]

    def staged(self, name: str) -> list[str]:
        """The whole files of the staging folder whose names begin so."""
        return sorted(one for one in _names(self.staging) if one.startswith(name) and not one.endswith(".part"))

    def counts(self) -> list[Any]:
        """What the job counted."""
        return _read(FileSystems.join(self.staging, COUNTS_FILE)) or []

    def plan(self) -> dict[str, Any] | None:
        """What is to become of the staged files, where that was decided before something broke off."""
        return _read(FileSystems.join(self.staging, _PLAN))

    def write_plan(self, plan: dict[str, Any]) -> None:
        """Decides it."""
        write_file(FileSystems.join(self.staging, _PLAN), [json.dumps(plan).encode()])

    def publish(self, plan: dict[str, Any]) -> None:
        """Moves the staged files into their places, then names them: until then readers see the last run's."""
        moves = {name: name for name in (*plan["files"], *fed_files(plan))}
        if plan["rejected_file"]:
            moves[REJECTED_FILE] = plan["rejected_file"]
        staged = set(_names(self.staging))
        for folder in sorted({place.rpartition("/")[0] for place in moves.values()} - {""}):
            make_folder(FileSystems.join(self.path, folder))
        for name, place in moves.items():
            if name in staged:
                FileSystems.rename([FileSystems.join(self.staging, name)], [FileSystems.join(self.path, place)])
        write_file(FileSystems.join(self.path, MANIFEST), [json.dumps(plan, indent=1).encode()])

    def retire(self, now: dict[str, Any]) -> None:
        """Removes what is staged, and the tables that the manifest does not name: the last run's, broken attempts'."""
        named = {*now["files"], *fed_files(now), now["rejected_file"], MANIFEST}
        old = [name for name in _names(self.path) if name.startswith(_OURS) and name not in named]
        folders = {name.rpartition("/")[0] for name in old} - {name.rpartition("/")[0] for name in named if name}
        for name in (*old, *sorted(folders)):  # a store of objects has no folders to be left
            if FileSystems.exists(FileSystems.join(self.path, name)):
                FileSystems.delete([FileSystems.join(self.path, name)])
        self.discard()

    def discard(self) -> None:
        """Removes what is staged."""
        for name in sorted(_names(self.staging), key=lambda name: name == _PLAN):  # the plan last
            FileSystems.delete([FileSystems.join(self.staging, name)])
        if FileSystems.exists(self.staging):
            FileSystems.delete([self.staging])


def fed_files(manifest: dict[str, Any]) -> list[str]:
    """What a run wrote for a store."""
    feed = manifest.get("feed")
    return [*feed["files"], feed["setup"]] if feed else []


def make_folder(path: str) -> None:
    """A folder that may be there already."""
    if not FileSystems.exists(path):
        FileSystems.mkdirs(path)


@contextlib.contextmanager
def locked(folder: str, flag: str) -> Iterator[None]:
    """Holds a local folder; the lock goes with the process, however it ends."""
    try:
        os.makedirs(folder, exist_ok=True)
        file = open(os.path.join(folder, _LOCK), "w")  # noqa: SIM115 (closed below)
    except OSError as error:
        raise UserError(f"{flag} {folder} cannot be written: {error.strerror}") from None
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(f"{flag} {folder}: another run is at work there; wait for its end") from None
        yield


def _is_part(name: str) -> bool:
    return name.startswith("part-") and name.endswith(PART)


def _shard(name: str) -> tuple[int, int]:
    """`...-00002-of-00008...` -> (2, 8)."""
    before, behind = name.split("-of-")
    return int(before[-5:]), int(behind[:5])


def _names(folder: str) -> list[str]:
    found = FileSystems.match([FileSystems.join(folder, "**")])[0].metadata_list
    return [file.path.removeprefix(folder).lstrip("/") for file in found]


def _read(path: str) -> Any:
    if not FileSystems.exists(path):
        return None
    with FileSystems.open(path) as file:
        return json.loads(file.read())
