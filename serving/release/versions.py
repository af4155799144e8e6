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

_STAGING = ".staging-"
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
        """A number that no version, manifest or rejected version has had."""
        prefixes = (_REJECTED, _MANIFEST)
        plain = [
            name.removeprefix(prefix).removesuffix(".json") for name in self._names() for prefix in ("", *prefixes)
        ]
        return 1 + max((int(name) for name in plain if name.isdecimal()), default=0)

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
        aside = self.path / f"{_STAGING}{os.getpid()}"
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._clear_dead()
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir()
        except OSError as error:
            raise UserError(f"--output {self.path} cannot be written: {error.strerror}") from None
        try:
            yield aside
        except Exception as error:  # TensorFlow has its own for what the operating system said
            if any(said in str(error) for said in _NO_SPACE):
                raise UserError(f"--output {self.path}: no space left on its disk; make room, run it again") from None
            raise
        finally:
            shutil.rmtree(aside, ignore_errors=True)

    def publish(self, model: Path, version: int, manifest: dict[str, Any]) -> None:
        """Makes a staged model the version in place; its manifest is there before it."""
        aside = model.parent / "manifest.json"
        aside.write_text(json.dumps(manifest, indent=1))
        _sync(model)
        os.replace(aside, self.path / f"{_MANIFEST}{version}.json")
        os.rename(model, self.path / str(version))

    def reject(self, model: Path, version: int, manifest: dict[str, Any]) -> Path:
        """Lays a staged model apart, with its reasons."""
        (model / "manifest.json").write_text(json.dumps(manifest, indent=1))
        apart = self.path / f"{_REJECTED}{version}"
        os.rename(model, apart)
        return apart

    def prune(self, keep: int, aside: Path) -> None:
        """Removes all but the newest versions, and the manifests of none; none is ever there in part."""
        for version in self.versions()[:-keep]:
            gone = aside / f"pruned-{version}"
            os.rename(self.path / str(version), gone)
            shutil.rmtree(gone)
        kept = {f"{_MANIFEST}{version}.json" for version in self.versions()}
        for name in self._names():
            if name.startswith(_MANIFEST) and name not in kept:
                (self.path / name).unlink()

    def _clear_dead(self) -> None:
        for name in self._names():
            pid = name.removeprefix(_STAGING)
            if name.startswith(_STAGING) and not os.path.exists(f"/proc/{pid}"):
                shutil.rmtree(self.path / name, ignore_errors=True)

    def _names(self) -> list[str]:
        return [entry.name for entry in self.path.iterdir()] if self.path.is_dir() else []


def _sync(folder: Path) -> None:
    """What is renamed into place is on the disk: a power cut must not leave a whole name over half files."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
