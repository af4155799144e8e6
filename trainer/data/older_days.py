"""Data folders of earlier days, read beside the newest: their ids must mean the same."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any

from preprocessing.command.console import UserError
from preprocessing.data.spec import read_spec
from preprocessing.text.vocabulary_files import known_words

FLAG = "--older"
_PARTS = ("requests", "text", "prices")
_BY_NUMBER = "price"  # whose ids are bands, not strings


def check_older(folders: Iterable[str], data_dir: str) -> None:
    """Refuses a folder whose records say something else by the same ids."""
    spec = read_spec(data_dir)
    for folder in folders:
        older = read_spec(folder)
        for part in _PARTS:
            if older[part] != spec[part]:
                raise UserError(f"{FLAG} {folder}: its {part} in spec.json are not those of --data {data_dir}")
        for name in sorted(older["vocabularies"]):
            if name != _BY_NUMBER:
                _check_vocabulary(name, folder, older, data_dir, spec)


def _check_vocabulary(name: str, folder: str, older: dict[str, Any], data_dir: str, spec: dict[str, Any]) -> None:
    """The later vocabulary must begin with the older one."""
    begins, whole = known_words(folder, name), known_words(data_dir, name)
    same = older["vocabularies"][name]["hash_buckets"] == spec["vocabularies"][name]["hash_buckets"]
    if same and whole[: len(begins)] == begins:
        return
    pairs = zip_longest(begins, whole, fillvalue=b"")
    line = next((line for line, (one, other) in enumerate(pairs, 1) if one != other), None)
    where = f"vocab/{name}.txt differs at line {line}" if same else f"{name} has other hash buckets"
    raise UserError(
        f"{FLAG} {folder}: its ids mean other things than those of --data {data_dir}: {where}; "
        "name folders whose vocabularies that of --data goes on from"
    )
