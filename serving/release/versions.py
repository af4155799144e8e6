"""The model folder: versions appear whole or not at all, the last few are kept, the rejected lie apart."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from preprocessing.command.console import UserError
from serving.release.staging import staging

REJECTED = 3  # exit status
_CLAIM = ".claim-"
_CLAIM_DEAD_S = 3_600.0  # a claim is held while a version is written down and renamed
_REJECTED = "rejected-"
_MANIFEST = "manifest-"
_NO_SPACE = (os.strerror(errno.ENOSPC), os.strerror(errno.EDQUOT))


class ModelFolder:
    """`<model-dir>/` with its versions, their manifests, and what is still being written aside."""

    def __init__(self, path: str) -> None:
        if "://" in path:
            raise UserError(f"--output {path}: a version appears by a rename, so it must be a local or mounted folder")
        self.path = Path(path)

    def versions(self) -> list[int]:
        """The versions that are whole, oldest first."""
        return sorted(int(name) for name in self._names() if name.isdecimal())

    def published(self) -> list[int]:
        """Those of them that lie there by `publish`, with a manifest; what a hand put beside them has none."""
        names = set(self._names())
        return [version for version in self.versions() if f"{_MANIFEST}{version}.json" in names]

    def latest(self) -> int | None:
        """The version in place."""
        versions = self.published()
        return versions[-1] if versions else None

    def next_version(self) -> int:
        """A number that no version, manifest, rejected version or claim has had."""
        return 1 + max(map(_number, self._names()), default=0)

    def claim_version(self, least: int = 1) -> int:
        """A new number, from `least` on, that no other exporter can get: a folder can be made by one alone."""
        self.path.mkdir(parents=True, exist_ok=True)
        while True:
            version = max(least, self.next_version())
            with contextlib.suppress(FileExistsError):
                (self.path / f"{_CLAIM}{version}").mkdir()
                if not self._in_use(version):
                    return version
                self.unclaim(version)  # it was claimed, put in place and let go of since we looked

    def _in_use(self, version: int) -> bool:
        names = (str(version), f"{_MANIFEST}{version}.json", f"{_REJECTED}{version}")
        return any((self.path / name).exists() for name in names)

    def model(self, version: int) -> str:
        """Where a version lies."""
        return str(self.path / str(version))

    def manifest(self, version: int) -> dict[str, Any]:
        """What was written of a version."""
        path = self.path / f"{_MANIFEST}{version}.json"
        if not path.exists():
            raise UserError(f"--output {self.path}: version {version} has no {path.name} beside it")
        return json.loads(path.read_text())

    @contextlib.contextmanager
    def staging(self) -> Iterator[Path]:
        """A folder aside, on the same disk; gone at the end, and what killed runs left goes at the start."""
        with contextlib.ExitStack() as stack:
            try:
                aside = stack.enter_context(staging(self.path))
            except OSError as error:
                raise UserError(f"--output {self.path} cannot be written: {error.strerror}") from None
            try:
                yield aside
            except Exception as error:  # TensorFlow has its own for what the operating system said
                if any(said in str(error) for said in _NO_SPACE):
                    raise UserError(
                        f"--output {self.path}: no space left on its disk; make room, run it again"
                    ) from None
                raise

    def publish(self, model: Path, version: int, manifest: dict[str, Any]) -> None:
        """Makes a staged model the version of a claimed number; its manifest is there before it."""
        aside = model.parent / "manifest.json"
        aside.write_text(json.dumps(manifest, indent=1))
        _sync(model)
        os.replace(aside, self.path / f"{_MANIFEST}{version}.json")
        os.rename(model, self.path / str(version))
        self.unclaim(version)

    def reject(self, model: Path, version: int, manifest: dict[str, Any]) -> Path:
        """Lays a staged model apart, with its reasons."""
        (model / "manifest.json").write_text(json.dumps(manifest, indent=1))
        apart = self.path / f"{_REJECTED}{version}"
        os.rename(model, apart)
        self.unclaim(version)
        return apart

    def unclaim(self, version: int) -> None:
        """Ends a claim: the number is in use, or nothing came of it."""
        with contextlib.suppress(OSError):
            (self.path / f"{_CLAIM}{version}").rmdir()

    def prune(self, keep: int, aside: Path) -> None:
        """Removes all but the newest versions and rejected ones, and what is left of others; none is there in part."""
        rejected = sorted((name for name in self._names() if name.startswith(_REJECTED)), key=_number)
        for name in [*map(str, self.versions()[:-keep]), *rejected[:-keep]]:
            gone = aside / f"pruned-{name}"
            with contextlib.suppress(FileNotFoundError):  # another exporter's pruning was quicker
                os.rename(self.path / name, gone)
                shutil.rmtree(gone)
        for name in self._names():
            if name.startswith(_CLAIM) and _age(self.path / name, aside) > _CLAIM_DEAD_S:
                self.unclaim(_number(name))
        for name in self._names():
            claim, model = (self.path / f"{prefix}{_number(name)}" for prefix in (_CLAIM, ""))
            # In this order: who places a version lets go of its claim last.
            if name.startswith(_MANIFEST) and not claim.exists() and not model.exists():
                (self.path / name).unlink(missing_ok=True)

    def _names(self) -> list[str]:
        return [entry.name for entry in self.path.iterdir()] if self.path.is_dir() else []


def _number(name: str) -> int:
    """The version that a name in a model folder is of; 0 where it is none's."""
    for prefix in (_REJECTED, _MANIFEST, _CLAIM):
        name = name.removeprefix(prefix)
    plain = name.removesuffix(".json")
    return int(plain) if plain.isdecimal() else 0


def _age(path: Path, now: Path) -> float:
    """Seconds since a path was made, by the clock of the storage, which has just made `now`; 0 for one that is gone."""
    try:
        return now.stat().st_mtime - path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _sync(folder: Path) -> None:
    """What is renamed into place is on the disk: a power cut must not leave a whole name over half files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
