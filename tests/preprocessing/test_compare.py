"""Two folders of records side by side: what is alike passes, and what was broken on purpose is named."""

from __future__ import annotations

import datetime
import gzip
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from preprocessing.command.console import UserError
from preprocessing.compare import PAST_A_LIMIT, main
from preprocessing.config import PreprocessingConfig
from preprocessing.pipeline import run

Record = dict[str, Any]
Change = Callable[[str, Record], Record]
SPLIT = {"split": {"eval_days": 3}}


def _half(raw: Path, folder: Path, users: int, change: Change) -> str:
    """Records of every second user."""
    (folder / "raw").mkdir(parents=True)
    for stream in ("catalog", "searches", "actions"):
        with gzip.open(raw / f"{stream}.jsonl.gz", "rt") as file:
            records = [json.loads(line) for line in file]
        ours = [one for one in records if "user_id" not in one or _side(one["user_id"]) == users]
        (folder / "raw" / f"{stream}.jsonl").write_text("".join(f"{json.dumps(change(stream, one))}\n" for one in ours))
    run(PreprocessingConfig.model_validate(SPLIT), str(folder / "raw"), str(folder / "data"), ())
    return str(folder / "data")


def _side(user: str) -> int:
    return sum(user.encode()) % 2


def _as_it_is(stream: str, one: Record) -> Record:
    return one


def _broken(stream: str, one: Record) -> Record:
    """Brands are lost, actions name no request, and a third of the queries are one."""
    if stream == "catalog":
        return one | {"brand": ""}
    if stream == "actions":
        return one | {"request_id": None}
    return one | {"query": "advent calendar"} if len(one["request_id"] + one["query"]) % 3 == 0 else one


@pytest.fixture(scope="module")
def halves(market: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, str]:
    """Of one half of the users, of the other, and of this one broken."""
    folder = tmp_path_factory.mktemp("halves")
    sides = ((0, _as_it_is), (1, _as_it_is), (1, _broken))
    first, second, broken = (_half(market / "raw", folder / str(n), users, how) for n, (users, how) in enumerate(sides))
    return first, second, broken


def test_a_folder_beside_itself(market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, page = str(market / "data"), tmp_path / "compare.html"
    assert main([data, f"{data}/", "--report", str(page)]) == 0
    said, error = capsys.readouterr()
    assert error == "" and "drift.query" in said
    text = page.read_text()
    changes = re.findall(r"<tr><td>drift\.\w+</td><td>[\w ]+</td><td></td><td></td><td>([\d.]+)</td>", text)
    assert len(changes) == 2 * 8 + 5 and set(changes) == {"0.000"}
    assert "class='broken'" not in text and text.count("<svg") == len(changes)
    assert not re.search(r"(src|href)=[\"']?(http|//)|@import|url\(http", text)  # it loads nothing


def test_other_users_of_one_shop_are_no_change(
    halves: tuple[str, str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """But for the rare items that one half of so few users has three actions on, and so an id."""
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"preprocessing": {"compare": {"new": 0.6, "gone": 0.6}}}))
    for two in (halves[:2], halves[1::-1]):
        assert main([*two, "--config", str(tmp_path / "c.yaml")]) == 0, capsys.readouterr().err


def test_what_was_broken_is_named(halves: tuple[str, str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([halves[0], halves[2]]) == PAST_A_LIMIT
    lines = capsys.readouterr().err.splitlines()
    assert len(set(lines)) == len(lines) and all(line.startswith("past its limit: ") for line in lines)
    assert (
        "past its limit: raw catalog brand: from 0 to 1: empty 1.000, of which preprocessing.compare.empty allows 0.05"
    ) in "\n".join(lines)
    told = {line.split(": ")[1] for line in lines}
    assert {"raw actions request_id", "actions that named its request", "catalog brand_name"} <= told
    drifted = {line.split(": ")[1] for line in lines if ": drift " in line}
    assert {"train query", "eval query", "eval word", "train brand", "catalog brand"} <= drifted
    assert not drifted & {"train item", "train leaf", "eval leaf", "catalog leaf", "catalog price"}


def test_the_config_has_the_limits(halves: tuple[str, str, str], tmp_path: Path) -> None:
    config = tmp_path / "c.yaml"
    config.write_text(yaml.safe_dump({"preprocessing": {"compare": {"counts": 1.0001, "requests": 40}}}))
    lines = "preprocessing.compare.{}=1".format
    loose = [part for name in ("shares", "empty", "lengths", "new", "gone") for part in ("--set", lines(name))]
    names = ("query", "word", "item", "brand", "shop", "leaf", "top", "price")
    loose += [part for name in names for part in ("--set", lines(f"drift.{name}"))]
    assert main([halves[0], halves[2], "--config", str(config), *loose, "--set", "preprocessing.compare.counts=9"]) == 0


def test_a_sample_is_as_large_as_the_config_says(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"preprocessing": {"compare": {"requests": 40}}}))
    assert main([str(market / "data"), str(market / "data"), "--config", str(tmp_path / "c.yaml")]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the rest of a sample: train 40 and 40, eval 40 and 40, catalog 40 and 40 records" in said


def test_pasts_of_a_log_that_has_just_begun_are_passed_over(
    market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """They grow from day to day until there are `history.long_days`."""
    told = {}
    for days in (20, 40):
        folder, page = shutil.copytree(market / "data", tmp_path / str(days)), tmp_path / f"{days}.html"
        stats = json.loads((folder / "stats.json").read_text())
        begin = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
        stats["searches_from_to"] = [(begin + datetime.timedelta(day)).isoformat() for day in (0, days)]
        (folder / "stats.json").write_text(json.dumps(stats))
        assert main([str(folder), str(folder), "--report", str(page)]) == 0
        told[days] = set(re.findall(r"<td>(?:empty|lengths)</td><td>(\w+ \w+)</td>", page.read_text()))
    pasts = ("history_word", "realtime_item", "short_item", "long_click_item", "long_order_item", "long_collect_item")
    assert told[40] - told[20] == {f"{split} {name}" for split in ("train", "eval") for name in pasts}


def test_another_schema(market: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = shutil.copytree(market / "data", tmp_path / "data")
    spec = json.loads((other / "spec.json").read_text())
    spec["requests"] = [one for one in spec["requests"] if one["name"] != "query_bigram"]
    spec["text"]["max_words"] = 16
    (other / "spec.json").write_text(json.dumps(spec))
    assert main([str(market / "data"), str(other)]) == PAST_A_LIMIT
    assert capsys.readouterr().err.splitlines() == [
        "another schema: text.max_words was 32, now 16",
        "another schema: requests.query_bigram was a list of int64, now not there",
    ]


def test_mistakes(market: Path, tmp_path: Path) -> None:
    data = str(market / "data")
    with pytest.raises(UserError, match=f"^{tmp_path}: no _SUCCESS in it; run python -m preprocessing.pipeline"):
        main([data, str(tmp_path)])
    with pytest.raises(UserError, match=r"^--set a\.b=c: it overrides a key of --config, which is not given$"):
        main([data, data, "--set", "a.b=c"])
    (tmp_path / "c.yaml").write_text("preprocessing: {compare: {drift: {querry: 1}}}")
    with pytest.raises(UserError, match=r"unknown key 'preprocessing.compare.drift.querry'; did you mean 'query'\?$"):
        main([data, data, "--config", str(tmp_path / "c.yaml")])
