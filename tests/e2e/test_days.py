"""Day after day with a state: the records of one run over everything, at a day's cost and with ids that stay."""

from __future__ import annotations

import gzip
import json
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.config import PreprocessingConfig
from preprocessing.marketplace.catalog import DAY_MS, FIRST_DAY
from preprocessing.pipeline import main, run, run_day
from preprocessing.simulate import simulate

FIRST, DAYS, CHECKED = 3, 10, (3, 6, 10)  # the first run takes three days at once, so that there is something to train
SPLITS = ("train", "validation", "eval", "catalog")
CONFIG = PreprocessingConfig.model_validate({"split": {"eval_days": 1, "validation_days": 1}})
Record = dict[str, Any]


class Logs(NamedTuple):
    """Folders of each day's logs, and of all that had come by some days."""

    of_day: dict[int, Path]
    until: dict[int, Path]


def _day_of(record: Record) -> int:
    return int((record["ts"] - FIRST_DAY) // DAY_MS) + 1


def _first_seen(streams: dict[str, list[Record]]) -> dict[str, int]:
    """The day on which each item is first shown or acted on."""
    days: dict[str, int] = {}
    for one in (*streams["searches"], *streams["actions"]):
        for item_id in one.get("results", [one.get("item_id")]):
            days[item_id] = min(_day_of(one), days.get(item_id, DAYS))
    return days


def _received(stream: str, records: list[Record], first_seen: dict[str, int]) -> dict[int, list[Record]]:
    """Each day's file: some events come a day late, some come twice, and the fourth day comes again with the fifth."""
    chance = random.Random(5)
    days: dict[int, list[Record]] = {day: [] for day in range(1, DAYS + 1)}
    for one in records:
        day = 1 if stream == "catalog" else _day_of(one)
        if stream == "catalog":
            day = chance.choice([1, first_seen.get(one["item_id"], DAYS)])
        elif chance.random() < 0.05:
            day = min(day + 1, DAYS)
        days[day].append(one)
        if chance.random() < 0.02:
            days[min(day + chance.randrange(4), DAYS)].append(one)
        if stream == "catalog" and chance.random() < 0.1:  # described anew, or sold out
            later = min(day + 1 + chance.randrange(5), DAYS)
            days[later].append(one | {"updated_at": FIRST_DAY + later * DAY_MS, "in_stock": chance.random() < 0.5})
    if stream != "catalog":
        days[5] = [*days[5], *days[4]]
    return days


@pytest.fixture(scope="module")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Logs:
    folder = tmp_path_factory.mktemp("days")
    simulate(folder / "raw", items=400, users=500, days=DAYS, seed=3)
    found = Logs({}, {})
    streams = {}
    for stream in ("catalog", "searches", "actions"):
        with gzip.open(folder / "raw" / f"{stream}.jsonl.gz", "rt") as file:
            streams[stream] = [json.loads(line) for line in file]
    for stream, whole in streams.items():
        for day, records in _received(stream, whole, _first_seen(streams)).items():
            lines = "".join(f"{json.dumps(one)}\n" for one in records)
            for place in (f"day-{max(day, FIRST):02d}", *(f"until-{last:02d}" for last in CHECKED if day <= last)):
                path = folder / place / f"{stream}-{day:02d}.jsonl"
                path.parent.mkdir(exist_ok=True)
                path.write_text(lines)
    found.of_day.update({day: folder / f"day-{day:02d}" for day in range(FIRST, DAYS + 1)})
    found.until.update({day: folder / f"until-{day:02d}" for day in CHECKED})
    return found


@pytest.fixture(scope="module")
def days(logs: Logs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`<day>/` for the records of each day, and `state/`."""
    folder = tmp_path_factory.mktemp("by_day")
    for day, raw in logs.of_day.items():
        assert run_day(CONFIG, str(raw), str(folder / str(day)), (), str(folder / "state")) is not None
    return folder


def _decoder(data: Path) -> Callable[[str, list[Any]], list[Any]]:
    spec = json.loads((data / "spec.json").read_text())
    strings = {}
    for name, one in spec["vocabularies"].items():
        if name != "price":
            words = (data / "vocab" / f"{name}.txt").read_text().split("\n")[:-1]
            strings[name] = [*range(1 + one["hash_buckets"]), *words]

    def decode(feature: str, values: list[Any]) -> list[Any]:
        names = strings.get(feature.rsplit("_", 1)[-1])
        return values if names is None else [names[value] for value in values]

    return decode


def records(data: Path, split: str) -> Iterator[tuple[tuple[str, ...], Record]]:
    """(key, features) of a split, ids as strings."""
    decode = _decoder(data)
    for path in sorted(data.glob(f"{split}-*.tfrecord.gz")):
        for raw in tf.data.TFRecordDataset(str(path), "GZIP").as_numpy_iterator():
            found = {}
            for name, feature in tf.train.Example.FromString(raw).features.feature.items():
                values = list(getattr(feature, feature.WhichOneof("kind") or "int64_list").value)
                found[name] = decode(name, values) if values and isinstance(values[0], int) else values
            key = (found["item_id"][0],) if split == "catalog" else (found["user_id"][0], found["request_id"][0])
            yield key, found


@pytest.mark.parametrize("day", CHECKED)
def test_the_records_are_those_of_one_run_over_everything(day: int, logs: Logs, days: Path, tmp_path: Path) -> None:
    run(CONFIG, str(logs.until[day]), str(tmp_path / "whole"), ())
    whole = {split: dict(records(tmp_path / "whole", split)) for split in SPLITS}
    found = {split: dict(records(days / str(day), split)) for split in SPLITS}
    assert len(whole["train"]) > 20 and len(whole["validation"]) > 20 and len(whole["eval"]) > 20
    for split in ("catalog", "validation", "eval"):
        assert found[split] == whole[split]
    earlier = [key for before in range(FIRST, day) for key, _ in records(days / str(before), "train")]
    assert len(set(earlier)) == len(earlier), "no request is written twice for training"
    assert found["train"].keys() == whole["train"].keys() - set(earlier) and set(earlier) <= whole["train"].keys()
    assert all(one == whole["train"][key] for key, one in found["train"].items())
    rates = [
        json.loads((data / "spec.json").read_text())["click_rates"] for data in (tmp_path / "whole", days / str(day))
    ]
    assert rates[0] == rates[1]


def test_ids_stay(days: Path) -> None:
    """A vocabulary begins with that of the day before, and some go on."""
    for day in range(FIRST + 1, DAYS + 1):
        for path in (days / str(day) / "vocab").iterdir():
            if path.name != "price.txt":
                before = (days / str(day - 1) / "vocab" / path.name).read_text()
                assert path.read_text().startswith(before)
    sizes = [len((days / str(day) / "vocab" / "item.txt").read_text()) for day in (FIRST, DAYS)]
    assert sizes[0] < sizes[1]


def test_a_repeated_day_changes_nothing(logs: Logs, days: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in days.rglob("*") if path.is_file()}
    for day in (4, DAYS):
        assert run_day(CONFIG, str(logs.of_day[day]), str(days / str(day)), (), str(days / "state")) is None
    assert {path: path.read_bytes() for path in days.rglob("*") if path.is_file()} == before


def test_the_last_day_can_be_done_again(logs: Logs, days: Path, tmp_path: Path) -> None:
    """As after a kill behind the last shard, or with its records lost: the same bytes."""
    shutil.copytree(days / "state", tmp_path / "state")
    run_day(CONFIG, str(logs.of_day[DAYS]), str(tmp_path / "again"), (), str(tmp_path / "state"))
    for path in (days / str(DAYS)).glob("*.tfrecord.gz"):
        assert (tmp_path / "again" / path.name).read_bytes() == path.read_bytes()


def test_mistakes(logs: Logs, days: Path, tmp_path: Path) -> None:
    settings = tmp_path / "c.yaml"
    settings.write_text("preprocessing: {history: {long_days: 40}}")
    flags = ["--config", str(settings), "--output", str(tmp_path / "out"), "--state", str(days / "state")]
    with pytest.raises(UserError, match=r"^--state \S+: preprocessing\.history\.long_days was 30, now 40"):
        main([*flags, "--input", str(logs.of_day[5])])
    alone = tmp_path / "catalogue"
    alone.mkdir()
    shutil.copy(logs.of_day[FIRST] / "catalog-01.jsonl", alone)
    with pytest.raises(UserError, match=r"^--state \S+: --input \S+ is a catalogue alone, which has no past$"):
        main([*flags, "--input", str(alone)])
    assert not (tmp_path / "out").exists()
