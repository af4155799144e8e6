"""One YAML an experiment: read, overridden by `--set`, validated into typed, frozen objects once, at the door."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from preprocessing.command.console import UserError, nearest

SECTIONS = ("preprocessing", "trainer", "serving")
S = TypeVar("S", bound="Section")


class Section(BaseModel):
    """A typed part of the YAML: frozen, and strict about names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def load_section(path: str, name: str, kind: type[S], overrides: Sequence[str] = ()) -> S:
    """Reads the YAML at `path`, applies `a.b=c` overrides and validates its section, or `a.b` of it, as a `kind`."""
    document = _read_yaml(path)
    for override in overrides:
        _apply(document, override)
    for key in document:
        if key not in SECTIONS:
            raise UserError(f"{path}: unknown section {key!r}{nearest(str(key), SECTIONS)}")
    try:
        return kind.model_validate(_at(document, name) or {})
    except ValidationError as error:
        key = ".".join(str(part) for part in (name, *_first(error)["loc"]))
        # The last word on a key is an override's, if one set it or what it is a part of.
        said = [one for one in overrides if f"{key}.".startswith(f"{one.partition('=')[0]}.")]
        raise UserError(f"{f'--set {said[-1]}' if said else path}: {_explain(error, name, kind)}") from None


def resolved_yaml(name: str, section: Section) -> str:
    """The section as it was understood, defaults and overrides included."""
    return yaml.safe_dump({name: json.loads(section.model_dump_json())}, sort_keys=False, allow_unicode=True)


def _read_yaml(path: str) -> dict[str, Any]:
    from apache_beam.io.filesystems import FileSystems  # after the flags are read: `--help` does not wait for it

    try:
        found = FileSystems.exists(path)
    except ValueError:
        raise UserError(f"{path}: nothing here reads such paths; for gs:// pip install multigrain[gcp]") from None
    if not found:
        raise UserError(f"{path}: no such config file; configs/demo.yaml is one to start from")
    with FileSystems.open(path) as file:
        try:
            document = yaml.safe_load(file.read().decode("utf-8"))
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise UserError(f"{path}: expected sections {', '.join(SECTIONS)}, found a {type(document).__name__}")
    return document


def _at(document: Any, name: str) -> Any:
    """What stands under a dotted name; None if nothing does."""
    for part in name.split("."):
        document = document.get(part) if isinstance(document, dict) else document
    return document


def _apply(document: dict[str, Any], override: str) -> None:
    """Sets one dotted key; the value is read as YAML, so `true`, `3` and `[a, b]` mean what they say."""
    key, equals, text = override.partition("=")
    parts = key.split(".")
    if not equals or not all(parts):
        raise UserError(f"--set {override}: expected section.key=value, as in preprocessing.split.eval_days=2")
    if parts[0] not in SECTIONS:
        raise UserError(f"--set {override}: unknown section {parts[0]!r}{nearest(parts[0], SECTIONS)}")
    node = document
    for part in parts[:-1]:
        if not isinstance(node.get(part), dict):
            node[part] = {}
        node = node[part]
    try:
        node[parts[-1]] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise UserError(f"--set {override}: {text!r} is not a YAML value; quote it") from None


def _first(error: ValidationError) -> Any:
    """The complaint to tell: an unknown key comes first, since it explains what is missing."""
    return min(error.errors(), key=lambda one: one["type"] != "extra_forbidden")


def _explain(error: ValidationError, name: str, kind: type[Section]) -> str:
    """One of pydantic's complaints as one line."""
    first = _first(error)
    path = ".".join(str(part) for part in (name, *first["loc"]))
    if first["type"] == "extra_forbidden":
        key = str(first["loc"][-1])
        return f"unknown key {path!r}{nearest(key, _known_keys(kind, first['loc'][:-1]))}"
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    value = "" if isinstance(first["input"], dict) else f", got {first['input']!r}"
    return f"{path}: {first['msg'].removeprefix('Value error, ')}{value}{more}"


def _known_keys(kind: type[BaseModel], location: Sequence[str | int]) -> list[str]:
    for part in location:
        field = kind.model_fields.get(str(part))
        if field is None:
            continue
        nested = [t for t in (field.annotation, *getattr(field.annotation, "__args__", ())) if _is_section(t)]
        if nested:
            kind = nested[0]
    return list(kind.model_fields)


def _is_section(annotation: object) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
