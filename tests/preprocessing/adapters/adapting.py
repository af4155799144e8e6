"""Runs the command, and the real pipeline on what it wrote."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any, NamedTuple

from preprocessing.adapt import main
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from tests.e2e import market

Record = dict[str, Any]


class Data(NamedTuple):
    """What the pipeline made of a raw folder."""

    stats: Record
    train: list[Record]
    validation: list[Record]
    test: list[Record]
    catalog: list[Record]


def read(path: Path) -> list[Record]:
    """A gzipped file of JSON Lines."""
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def write_lines(path: Path, records: list[Record]) -> Path:
    """JSON Lines."""
    path.write_bytes(market.lines(records))
    return path


def adapt(*argv: object) -> Record:
    """Runs the command; the last argument is the raw folder. Returns its counts."""
    assert main([str(one) for one in argv]) == 0
    return json.loads((Path(str(argv[-1])) / "adapt.json").read_text())["counts"]


def process(raw: Path, config: str, *overrides: str) -> Data:
    """Runs the pipeline; nothing may have been rejected."""
    settings = load_section(str(market.ROOT / "configs" / config), "preprocessing", PreprocessingConfig, overrides)
    data = raw.with_name("data")
    stats = market.process(raw, data, settings=settings)
    assert all(not stream["rejected"] for stream in stats["streams"].values())
    return Data(stats, *(market.examples(data, name) for name in ("train", "validation", "eval", "catalog")))


def ids(example: Record, stage: str) -> list[str]:
    """The items of a stage."""
    return [one.decode() for one in example.get(f"{stage}_item_id", [])]


def query(example: Record) -> str:
    """What was asked."""
    return example["query"][0].decode()
