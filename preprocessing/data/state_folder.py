"""`--state STATE/`: what the next days need of the past. A run writes a folder; `CURRENT` names the newest whole one.

STATE/CURRENT       000007
STATE/000007/       its files, and state.json: which logs are in it, by which config, and how large its files are
STATE/000006/       the run before, from which run 7 can be done again
STATE/lock          held by the run that is at work
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from apache_beam.io.filesystems import FileSystems

from preprocessing.command.console import UserError
from preprocessing.config import PreprocessingConfig

CURRENT, MANIFEST, LOCK = "CURRENT", "state.json", "lock"
SCHEMA = 1
_DECISIVE = ("join", "history", "stages", "text", "vocabularies", "prices")  # by what the past is understood
_HEAD = 1 << 20  # bytes of a file that tell it from another of its name and size


class Day(NamedTuple):
    """One run over some logs."""

    number: int
    folder: str  # where its state goes
    past: str | None  # the folder of the run before; None: it is the first
    logs: str  # their fingerprint
    output: str


class StateFolder:
    """The past of a log, run after run."""

    def __init__(self, path: str, config: PreprocessingConfig) -> None:
        self.path = path.rstrip("/")
        sections = config.model_dump(mode="json", include=set(_DECISIVE))
        self._config = {**sections, "input": {"catalog": {"vector_width": config.input.vector_width}}}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Holds the state against a second run at the same time; the system lets go when the process ends."""
        if not FileSystems.exists(self.path):
            FileSystems.mkdirs(self.path)
        if "://" in self.path:  # a store of objects knows no locks
            yield
            return
        with open(f"{self.path}/{LOCK}", "w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise self._mistake("another run is at work in it; wait for it, or end it") from None
            yield

    def day(self, logs: str, output: str) -> Day | None:
        """The run for some logs, its folder empty; None if it is done already."""
        newest = self._newest()
        if newest is None:
            return self._begin(1, logs, output)
        self._check(newest)
        number, days = int(newest["number"]), newest["days"]
        known = {day["logs"]: day for day in days}
        whole = logs in known and FileSystems.exists(FileSystems.join(known[logs]["output"], "_SUCCESS"))
        if logs in known and known[logs]["output"] == output and whole:
            return None
        if logs == days[-1]["logs"]:  # its records are lost, or wanted elsewhere
            self._go_back(number - 1)
            return self._begin(number, logs, output)
        if logs in known:
            raise self._mistake(
                f"these logs are in it since run {days.index(known[logs]) + 1}, whose records are in "
                f"{known[logs]['output']}; only the newest run can be done again"
            )
        return self._begin(number + 1, logs, output)

    def commit(self, day: Day) -> None:
        """Makes a run the newest, and forgets those that nothing can be done again from."""
        before = self._manifest(day.number - 1)["days"] if day.past else []
        content = {
            "schema": SCHEMA,
            "number": day.number,
            "days": [*before, {"logs": day.logs, "output": day.output}],
            "config": self._config,
            "files": self._sizes(day.folder),
        }
        self._write(FileSystems.join(day.folder, MANIFEST), json.dumps(content, indent=1))
        self._write(FileSystems.join(self.path, CURRENT), _name(day.number))
        self._delete(self._folder(day.number - 2))

    def _begin(self, number: int, logs: str, output: str) -> Day:
        folder = self._folder(number)
        self._delete(folder)
        FileSystems.mkdirs(folder)
        return Day(number, folder, self._folder(number - 1) if number > 1 else None, logs, output)

    def _go_back(self, number: int) -> None:
        path = FileSystems.join(self.path, CURRENT)
        if number:
            self._write(path, _name(number))
        else:
            FileSystems.delete([path])

    def _newest(self) -> dict[str, Any] | None:
        path = FileSystems.join(self.path, CURRENT)
        if not FileSystems.exists(path):
            if len(FileSystems.match([FileSystems.join(self.path, "*", MANIFEST)])[0].metadata_list) > 1:
                raise self._broken(f"{CURRENT} is missing")
            return None
        number = self._read(path).strip()
        if not number.isdigit():
            raise self._mistake(f"{CURRENT} says {number[:20]!r}, which is no run")
        return self._manifest(int(number))

    def _manifest(self, number: int) -> dict[str, Any]:
        path = FileSystems.join(self._folder(number), MANIFEST)
        try:
            found = json.loads(self._read(path))
        except (OSError, ValueError):
            raise self._broken(f"{_name(number)}/{MANIFEST} cannot be read") from None
        if found.get("schema") != SCHEMA:
            raise self._broken(f"its schema is {found.get('schema')}, this program's {SCHEMA}")
        return dict(found)

    def _check(self, manifest: Mapping[str, Any]) -> None:
        """All files are there as they were written, and they were made by such a config."""
        name = _name(int(manifest["number"]))
        sizes = self._sizes(FileSystems.join(self.path, name))
        for file, size in manifest["files"].items():
            if sizes.get(file) != size:
                found = f"has {sizes[file]:,} bytes, not {size:,}" if file in sizes else "is missing"
                raise self._broken(f"{name}/{file} {found}")
        was, now = dict(dotted(manifest["config"])), dict(dotted(self._config))
        for key in was | now:
            if was.get(key) != now.get(key):
                raise self._mistake(
                    f"preprocessing.{key} was {was.get(key)!r}, now {now.get(key)!r}; take its value, or begin a new "
                    "state in an empty folder"
                )

    def _sizes(self, folder: str) -> dict[str, int]:
        found = FileSystems.match([FileSystems.join(folder, "*")])[0].metadata_list
        sizes = {file.path.rpartition("/")[2]: file.size_in_bytes for file in found}
        return {name: sizes[name] for name in sorted(sizes) if name != MANIFEST and not name.endswith(".part")}

    def _folder(self, number: int) -> str:
        return FileSystems.join(self.path, _name(number))

    def _mistake(self, text: str) -> UserError:
        return UserError(f"--state {self.path}: {text}")

    def _broken(self, what: str) -> UserError:
        return self._mistake(f"{what}; bring it back from a copy, or begin a new state in an empty folder")

    @staticmethod
    def _read(path: str) -> str:
        with FileSystems.open(path) as file:
            return str(file.read().decode())

    @staticmethod
    def _write(path: str, text: str) -> None:
        """Whole or not at all: an object of a store appears when it is closed, a file is renamed."""
        aside = path if "://" in path else f"{path}.part"
        with FileSystems.create(aside, "text/plain") as file:
            file.write(text.encode())
        if aside != path:
            os.replace(aside, path)

    @staticmethod
    def _delete(folder: str) -> None:
        if FileSystems.exists(folder):
            FileSystems.delete([folder])


def _name(number: int) -> str:
    return f"{number:06d}"


def fingerprint(root: str, paths: Iterable[str], versions: Iterable[str] = ()) -> str:
    """What tells a day's logs from another's: names below the input's folder, sizes, and how the files begin.

    Args:
      root: the input's folder.
      paths: of the files.
      versions: of the tables, which change with what is in them.
    """
    digest = hashlib.sha256()
    for path in sorted(paths):
        size = FileSystems.match([path])[0].metadata_list[0].size_in_bytes
        with FileSystems.open(path, compression_type="uncompressed") as file:
            head = zlib.crc32(file.read(_HEAD))
        digest.update(f"{path.removeprefix(root)}\n{size}\n{head}\n".encode())
    for version in versions:
        digest.update(f"{version}\n".encode())
    return digest.hexdigest()


def dotted(node: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Each value of nested settings, by its key as `--set` has it."""
    if not isinstance(node, dict):
        yield prefix, node
        return
    for key, value in node.items():
        yield from dotted(value, f"{prefix}.{key}" if prefix else str(key))
