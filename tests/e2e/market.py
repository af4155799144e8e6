"""A small raw log with every oddity that the rules speak of, its writers, and readers of what comes out."""

from __future__ import annotations

import gzip
import json
import random
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from preprocessing.pipeline import run

ROOT = Path(__file__).resolve().parents[2]
START, DAY, DAYS = 1_700_006_400_000, 86_400_000, 40  # a midnight
ODD_QUERIES = (
    "👍🏽 sofa ❤️",
    "שלום עולם",
    "قميص أزرق",
    "cafe\u0301 TABLE",
    "zero\x00one\ttwo",
    "红色跑鞋iphone12壳",
    "ﬁne Ｆｕｌｌ width",
    "word " * 2_000,
    "x" * 10_000,
    "e" + "\u0301" * 50,
    "\u200b\u200d\ufeff",
    "...",
    "각 각",
)
Record = dict[str, Any]


class Log(NamedTuple):
    """The three streams."""

    catalog: list[Record]
    searches: list[Record]
    actions: list[Record]


def make(seed: int = 1, searches: int = 600) -> Log:
    """The log of one small shop."""
    draw = random.Random(seed)
    catalog = [_item(number, draw) for number in range(200)]
    catalog += [dict(catalog[3]), {**catalog[4], "title": "another title", "updated_at": START}]
    log = Log(catalog, [], [])
    for number in range(searches):
        _search(number, draw, log)
    log.searches.append(dict(log.searches[10]))
    page = {"ts": log.searches[20]["ts"] + 30_000, "results": ["item 1", "item 2", log.searches[20]["results"][0]]}
    log.searches.append({**log.searches[20], **page})  # the second page of a request
    log.actions.extend([dict(log.actions[5]), {**log.actions[5], "request_id": None}])
    log.actions.append({"ts": START + DAY, "user_id": "user 1", "item_id": "gone", "action": "click"})
    return log


def _item(number: int, draw: random.Random) -> Record:
    words = draw.sample(["red", "blue", "sofa", "lamp", "table", "oak", "kids", "壳", "红色", "set"], 4)
    return {
        "item_id": f"item {number}",
        "title": " ".join(words),
        "brand": f"brand {number % 7}" if number % 11 else "",
        "shop": f"shop {number % 5}",
        "category_leaf": f"leaf {number % 9}",
        "category_top": f"top {number % 3}",
        "price": number / 4,
        "in_stock": number % 10 != 0,
    }


def _search(number: int, draw: random.Random, log: Log) -> None:
    ts = START + draw.randrange(DAYS * 24 * 60) * 60_000  # whole minutes, so that clocks tie
    user = f"user {draw.randrange(12)}"
    page = [f"item {item}" for item in draw.sample(range(200), 12)]
    if number % 50 == 0:
        page.insert(1, "gone")
    query = (
        ODD_QUERIES[number % len(ODD_QUERIES)] if number % 4 == 0 else f"{draw.choice(['red', 'oak'])} {number % 30}"
    )
    log.searches.append({"request_id": f"r{number}", "ts": ts, "user_id": user, "query": query, "results": page})
    for item in draw.sample(page, draw.choice([0, 0, 1, 2, 3])):
        if item == "gone":
            continue
        action = {
            "ts": ts + draw.choice([-2_000, 0, 60_000, 600_000, 5_000_000]),
            "user_id": user,
            "item_id": item,
            "action": draw.choice(["click", "click", "collect", "cart", "order"]),
        }
        if draw.random() < 0.8:
            action["request_id"] = f"r{number}"
        log.actions.append(action)


def write(log: Log, folder: Path) -> Path:
    """As plain JSON Lines."""
    folder.mkdir(parents=True)
    for stream, records in log._asdict().items():
        (folder / f"{stream}.jsonl").write_bytes(lines(records))
    return folder


def lines(records: list[Record]) -> bytes:
    """As JSON Lines."""
    return "".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records).encode()


def config(*overrides: str) -> PreprocessingConfig:
    """The demo's, with small changes."""
    whole = "preprocessing.vocabularies.item.min_count=1"  # every item keeps its id: tests read histories back by it
    return load_section(str(ROOT / "configs" / "demo.yaml"), "preprocessing", PreprocessingConfig, [whole, *overrides])


def process(raw: Path, data: Path, *flags: str, settings: PreprocessingConfig | None = None) -> Record:
    """Runs the pipeline; returns its statistics."""
    return run(settings or config(), str(raw), str(data), flags)


def content(data: Path) -> dict[str, bytes]:
    """Every file and its bytes."""
    return {str(path.relative_to(data)): path.read_bytes() for path in sorted(data.rglob("*")) if path.is_file()}


def examples(data: Path, split: str) -> list[Record]:
    """The records as plain dictionaries of lists, in order."""
    found = []
    for path in sorted(data.glob(f"{split}-*.tfrecord.gz")):
        for record in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            found.append({name: _values(feature) for name, feature in features.items()})
    return found


def _values(feature: tf.train.Feature) -> list:
    return list(getattr(feature, feature.WhichOneof("kind")).value)


def rejected(data: Path) -> list[Record]:
    """Every rejected record."""
    return [json.loads(line) for path in data.glob("rejected/*.jsonl") for line in path.read_bytes().splitlines()]


def vocabulary(data: Path, name: str) -> list[str]:
    """The words of one vocabulary, in order."""
    return (data / "vocab" / f"{name}.txt").read_text("utf-8").splitlines()


def write_gzip(path: Path, text: bytes) -> None:
    """As gzip."""
    with gzip.open(path, "wb") as file:
        file.write(text)
