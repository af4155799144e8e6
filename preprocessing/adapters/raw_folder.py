"""The raw folder: catalog, searches, actions and judgments, which appear together or not at all."""

from __future__ import annotations

import collections
import contextlib
import gzip
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson

from preprocessing.command.console import UserError

CATALOG, SEARCHES, ACTIONS = "catalog.jsonl.gz", "searches.jsonl.gz", "actions.jsonl.gz"
JUDGMENTS = "judgments.jsonl.gz"
JUDGMENTS_OF = {  # by what their queries are for
    "train": "judgments-train.jsonl.gz",
    "validation": "judgments-validation.jsonl.gz",
    "test": JUDGMENTS,
}
MARK = "adapt.json"  # what was done; tells a folder of ours from another's
OWN = (CATALOG, SEARCHES, ACTIONS, *JUDGMENTS_OF.values(), MARK)
_STREAMS = (CATALOG, SEARCHES, ACTIONS)
Record = Mapping[str, Any]


class RawFolder:
    """Writes aside, in a folder next to the one that is asked for, and renames it when all is whole.

    >>> with RawFolder(Path("/tmp/raw-doctest"), "judged") as raw:
    ...     raw.write(CATALOG, [{"item_id": "1", "title": "oak table"}])
    """

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder = folder
        self._kind = kind
        self._aside = folder.with_name(f".{folder.name}.partial")
        self._files: dict[str, gzip.GzipFile] = {}
        self._stack = contextlib.ExitStack()
        self.counts: collections.Counter[str] = collections.Counter()  # shown to the user, in order of first mention

    def __enter__(self) -> RawFolder:
        _must_be_ours(self.folder)
        try:
            shutil.rmtree(self._aside, ignore_errors=True)
            self._aside.mkdir(parents=True)
            for name in _STREAMS:  # also an empty stream is there
                self._file(name)
        except OSError as error:
            self._drop()
            raise UserError(f"output {self.folder} cannot be written: {error}") from None
        return self

    def write(self, name: str, records: Iterable[Record]) -> None:
        """Appends lines to one of the files."""
        self._file(name).write(b"".join(orjson.dumps(record) + b"\n" for record in records))

    def count(self, what: str, number: int = 1) -> None:
        """Adds to one of the figures that are shown at the end; 0 makes it show."""
        self.counts[what] += number

    def _file(self, name: str) -> gzip.GzipFile:
        if name not in self._files:
            # Neither time nor name in the header: the same input gives the same bytes.
            raw = self._stack.enter_context((self._aside / name).open("wb"))
            packed = gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6)
            self._files[name] = self._stack.enter_context(packed)
        return self._files[name]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._drop()
            return
        self._stack.close()
        mark = {"kind": self._kind, "counts": dict(self.counts)}
        (self._aside / MARK).write_bytes(orjson.dumps(mark, option=orjson.OPT_INDENT_2) + b"\n")
        before = self.folder.with_name(f".{self.folder.name}.before")
        shutil.rmtree(before, ignore_errors=True)
        if self.folder.exists():
            os.replace(self.folder, before)
        os.replace(self._aside, self.folder)
        shutil.rmtree(before, ignore_errors=True)

    def _drop(self) -> None:
        with contextlib.suppress(OSError):
            self._stack.close()
        shutil.rmtree(self._aside, ignore_errors=True)


def _must_be_ours(folder: Path) -> None:
    """A folder that holds anything else is left alone."""
    if not folder.exists():
        return
    if not folder.is_dir():
        raise UserError(f"output {folder} is a file; name a folder")
    there = [path.name for path in folder.iterdir()]
    if foreign := sorted(set(there) - set(OWN)):
        raise UserError(f"output {folder} holds files that are not this command's ({foreign[0]}); name another folder")
    if there and MARK not in there:
        raise UserError(
            f"output {folder} holds {sorted(there)[0]} that this command did not write; name another folder"
        )
