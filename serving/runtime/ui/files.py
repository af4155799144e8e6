"""What the page knows besides the models: the catalogue's records, users with their past, and judged queries."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import orjson

from preprocessing.command.console import UserError, progress
from serving.retriever.request import User


class Catalogue:
    """Records by item id, each kept as the line it came in: a million take some 300 MB."""

    def __init__(self, lines: dict[str, bytes]) -> None:
        self._lines = lines

    def __len__(self) -> int:
        return len(self._lines)

    def record(self, item_id: str) -> dict[str, Any] | None:
        """What is known of an item."""
        line = self._lines.get(item_id)
        return None if line is None else orjson.loads(line)

    def title(self, item_id: str) -> str:
        """An item's title, "" for one that is not known."""
        return (self.record(item_id) or {}).get("title", "")


def read_catalogue(path: str) -> Catalogue:
    """The catalogue of `--ui_catalog`, as preprocessing takes it."""
    lines = {}
    with progress("catalogue lines", None) as bar:
        for number, line in _lines("--ui_catalog", path):
            content = _object("--ui_catalog", path, number, line)
            item_id = content.get("item_id")
            if not isinstance(item_id, str):
                raise UserError(f"--ui_catalog {path}, line {number}: no item_id")
            lines[item_id] = line
            bar.advance()
    return Catalogue(lines)


def read_users(path: str) -> dict[str, User]:
    """The users of `--ui_users` by `user_id`; the rest of a line is what `serving.client --user` takes."""
    users = {}
    for number, line in _lines("--ui_users", path):
        content = _object("--ui_users", path, number, line)
        name = content.pop("user_id", None)
        if not isinstance(name, str):
            raise UserError(f"--ui_users {path}, line {number}: no user_id")
        try:
            users[name] = User.of(content, f"--ui_users {path}, line {number}")
        except ValueError as error:
            raise UserError(str(error)) from None
    return users


def read_judgments(path: str) -> dict[str, dict[str, float]]:
    """The grades of `--ui_judgments` by query and item; those of one user's query alone are left out."""
    grades: dict[str, dict[str, float]] = {}
    for number, line in _lines("--ui_judgments", path):
        content = _object("--ui_judgments", path, number, line)
        query, item_id, grade = (content.get(name) for name in ("query", "item_id", "grade"))
        if not isinstance(query, str) or not isinstance(item_id, str) or not isinstance(grade, int | float):
            raise UserError(f"--ui_judgments {path}, line {number}: each line has query, item_id and a grade")
        if content.get("user_id") is None:
            grades.setdefault(query, {})[item_id] = float(grade)
    return grades


def _lines(flag: str, path: str) -> Iterator[tuple[int, bytes]]:
    opened: Any = gzip.open if path.endswith(".gz") else open
    try:
        with opened(path, "rb") as file:
            for number, line in enumerate(file, 1):
                if line.strip():
                    yield number, line.strip()
    except (OSError, EOFError) as error:
        raise UserError(f"{flag} {path} cannot be read: {getattr(error, 'strerror', None) or error}") from None


def _object(flag: str, path: str, number: int, line: bytes) -> dict[str, Any]:
    try:
        content = orjson.loads(line)
    except orjson.JSONDecodeError:
        content = None
    if not isinstance(content, dict):
        raise UserError(f"{flag} {path}, line {number}: not an object in JSON")
    return content
