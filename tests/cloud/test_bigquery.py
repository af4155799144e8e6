"""Logs in BigQuery, by Google's client and Beam's connector: the records of files, or a line that says why not."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from preprocessing.command.console import UserError
from preprocessing.config_input import InputConfig
from preprocessing.logs.find_sources import sources_of
from preprocessing.pipeline import main as preprocess
from tests.cloud import fake_storage
from tests.cloud.fake_bigquery import PROJECT, BigQuery, serving
from tests.e2e import market

SAMPLES = market.ROOT / "examples" / "logs"
STREAMS = ("catalog", "searches", "actions")
SET = f"{PROJECT}.logs"
QUERY = "SELECT * FROM logs.everything WHERE day = '2024-06-07'"
SPLIT = {"split": {"eval_days": 1}, "output": {"train_shards": 1, "eval_shards": 1, "catalog_shards": 1}}


@pytest.fixture
def shop() -> Iterator[BigQuery]:
    """The samples as tables."""
    tables = {f"{SET}.{name}": SAMPLES / f"{name}.avro" for name in STREAMS}
    tables |= {f"{SET}.events_2024060{day}": SAMPLES / "events.avro" for day in (1, 2)}
    ga4 = "SELECT event_name, event_timestamp, event_params, items, user_pseudo_id FROM `logs.events_*`"
    queries = {QUERY: f"{SET}.searches", ga4: f"{SET}.events_20240601"}
    bigquery = BigQuery(tables, queries)
    with pytest.MonkeyPatch.context() as patch, serving(bigquery, patch):
        yield bigquery


def config(folder: Path, **streams: Any) -> str:
    path = folder / "c.yaml"
    path.write_text(yaml.safe_dump({"preprocessing": {**SPLIT, "input": streams}}))
    return str(path)


def tables(**change: Any) -> dict[str, Any]:
    return {name: {"bigquery": f"{SET}.{name}"} for name in STREAMS} | change


def records(folder: Path, *flags: str, **streams: Any) -> dict[str, bytes]:
    """The record files that a config makes, with the vocabularies."""
    folder.mkdir(parents=True)
    assert preprocess(["--config", config(folder, **streams), "--output", str(folder / "data"), *flags]) == 0
    return {
        name: content
        for name, content in market.content(folder / "data").items()
        if name.startswith(("train", "validation", "eval", "catalog", "vocab"))
    }


def of_files(folder: Path, **streams: Any) -> dict[str, bytes]:
    return records(folder, "--input", str(SAMPLES), **streams)


def files(ending: str) -> dict[str, Any]:
    return {name: {"pattern": f"{name}.{ending}"} for name in STREAMS}


def test_tables_and_queries_give_the_records_of_files(shop: BigQuery, tmp_path: Path) -> None:
    expected = of_files(tmp_path / "json", **files("jsonl.gz"))
    assert {name.partition("-")[0] for name in expected} >= {"train", "validation", "eval", "catalog"}
    asked = tables(searches={"bigquery": QUERY}, actions={"bigquery": "logs.actions"})
    assert records(tmp_path / "bigquery", "--project", PROJECT, **asked) == expected
    fields = dict(shop.sessions)
    assert fields[f"{SET}.actions"] == ["ts", "user_id", "item_id", "action", "request_id"]
    assert "vector" not in fields[f"{SET}.catalog"]
    stats = json.loads((tmp_path / "bigquery" / "data" / "stats.json").read_text())
    assert stats["streams"]["actions"]["in"] == stats["streams"]["actions"]["used"] > 0


def test_an_export_through_files_gives_the_same(shop: BigQuery, tmp_path: Path) -> None:
    expected = of_files(tmp_path / "json", **files("avro"))
    with fake_storage.serving(tmp_path) as storage, pytest.MonkeyPatch.context() as patch:
        for name, value in storage.environment.items():
            if name != "https_proxy":
                patch.setenv(name, value)

        def export(place: str, content: bytes) -> None:
            bucket, _, name = place.removeprefix("gs://").partition("/")
            storage.storage.put(bucket, name, content)

        shop.export = export
        flags = ("--project", PROJECT, "--temp_location", "gs://shop/tmp")
        assert records(tmp_path / "export", *flags, **tables(), bigquery_method="EXPORT") == expected
    assert not shop.sessions


def test_a_table_of_google_analytics_gives_the_records_of_its_files(shop: BigQuery, tmp_path: Path) -> None:
    catalog = {"pattern": str(SAMPLES / "catalog.parquet")}
    whole = {"format": "ga4", "catalog": catalog}
    expected = of_files(tmp_path / "json", **whole, ga4={"pattern": "events.jsonl.gz"})
    for ending in ("avro", "parquet"):
        assert of_files(tmp_path / ending, **whole, ga4={"pattern": f"events.{ending}"}) == expected
    for name, table in {"one": f"{SET}.events_20240601", "several": "logs.events_*"}.items():
        asked = {**whole, "ga4": {"bigquery": table}}
        assert records(tmp_path / name, "--project", PROJECT, **asked) == expected


@pytest.mark.parametrize(
    ("streams", "flags", "message"),
    [
        ({"searches": {"bigquery": f"{SET}.serches"}}, (), "Not found: Table shop-1.logs.serches"),
        ({"searches": {"bigquery": "SELECT qurey FROM logs.searches"}}, (), "Unrecognized name in SELECT qurey"),
        ({"searches": {"bigquery": "searches"}}, (), "neither project.dataset.table nor a query"),
        ({"searches": {"bigquery": "DROP TABLE logs.searches"}}, (), "neither project.dataset.table nor a query"),
        (
            {"searches": {"bigquery": f"{SET}.searches", "pattern": "searches*"}},
            (),
            "pattern (searches*) and bigquery (shop-1.logs.searches) are both set",
        ),
        ({"searches": {"columns": {"query": "q"}}}, (), "set pattern, for files, or bigquery"),
        (
            {"searches": {"bigquery": f"{SET}.searches", "columns": {"query": "session.words"}}},
            (),
            "has no field 'session.words': preprocessing.input.searches.columns.query names it; its fields: request_id",
        ),
        (
            {"searches": {"bigquery": f"{SET}.actions"}},
            (),
            "has no field 'query': name the column that is meant in preprocessing.input.searches.columns.query",
        ),
        ({"format": "ga4", "ga4": {"bigquery": f"{SET}.actions"}}, (), "has no field 'event_name'"),
        ({"searches": {"pattern": "searches*"}}, (), "--input: name the folder of the logs"),
        ({"bigquery_method": "EXPORT"}, (), "--temp_location: name a folder on gs://"),
    ],
)
def test_a_mistake_is_told_before_the_job_begins(
    shop: BigQuery, streams: dict[str, Any], flags: tuple[str, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as told:
        records(tmp_path / "one", *flags, **tables(**streams))
    assert message in str(told.value)
    assert not shop.sessions and not (tmp_path / "one" / "data").exists()


def test_a_view_is_read_by_a_query(shop: BigQuery, tmp_path: Path) -> None:
    shop.kinds[f"{SET}.searches"] = "VIEW"
    with pytest.raises(UserError, match=r"logs\.searches is a VIEW, which is read by a query"):
        records(tmp_path / "one", **tables())


def test_without_its_libraries_the_mend_is_told(
    shop: BigQuery, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("preprocessing.logs.tables._NEEDED", ("google.cloud.bigqueri", "no.such.library"))
    with pytest.raises(UserError, match=r"to read BigQuery, pip install 'multigrain\[gcp\]'"):
        records(tmp_path / "one", **tables())


def test_a_day_in_tables_is_done_once_until_they_change(
    shop: BigQuery, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    streams = tables(searches={"bigquery": QUERY})
    flags = ["--config", config(tmp_path, **streams), "--project", PROJECT, "--output", str(tmp_path / "data")]
    for said in ("records, vocabularies and stats.json are in", "nothing to do: the logs are in"):
        assert preprocess([*flags, "--state", str(tmp_path / "state")]) == 0
        assert said in capsys.readouterr().out
    before = {source.stream: source.version for source in sources_of(InputConfig(**streams), "")}  # type: ignore[union-attr]
    shop.modified += 1
    after = {source.stream: source.version for source in sources_of(InputConfig(**streams), "")}  # type: ignore[union-attr]
    assert all(before[stream] != after[stream] for stream in STREAMS)


def test_the_size_of_a_table_is_that_of_its_records(shop: BigQuery) -> None:
    of_tables = {source.stream: source.size for source in sources_of(InputConfig(**tables()), "")}
    plain = {name: len(gzip.decompress((SAMPLES / f"{name}.jsonl.gz").read_bytes())) for name in STREAMS}
    assert of_tables == pytest.approx(plain, rel=0.2)
