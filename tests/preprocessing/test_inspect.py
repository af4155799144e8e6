"""Unknown logs: what is proposed reads them, and what is missing is said."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from preprocessing.command.console import UserError
from preprocessing.command.experiment import load_section
from preprocessing.config import PreprocessingConfig
from preprocessing.inspect import main
from preprocessing.inspection.field_facts import facts_of
from preprocessing.inspection.proposal import Looked, input_section, propose
from preprocessing.logs.find_sources import sources_of
from tests.packages import ROOT

DAY = "2024-06-01T09:00:00Z"


def write(path: Path, documents: Iterable[Mapping[str, Any]]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in documents)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_text(text)
    return path


def proposed(logs: Path, *flags: str) -> dict[str, Any]:
    """The `preprocessing.input` that the command writes, as the pipeline reads it."""
    config = logs.parent / "proposed.yaml"
    assert main([str(logs), "--output", str(config), *flags]) == 0
    sources_of(load_section(str(config), "preprocessing", PreprocessingConfig).input, str(logs))
    return yaml.safe_load(config.read_text())["preprocessing"]["input"]


def test_the_logs_of_the_docs_are_read_as_the_docs_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The page maps every column by hand; the command finds the same map."""
    logs, _, config, *_ = re.findall(r"```bash\n(.*?)```", (ROOT / "docs" / "data.md").read_text(), re.DOTALL)
    subprocess.run(["bash", "-ec", logs + config], cwd=tmp_path, check=True)
    by_hand = yaml.safe_load((tmp_path / "shop" / "shop.yaml").read_text())["preprocessing"]["input"]
    assert proposed(tmp_path / "shop" / "logs") == by_hand
    said = capsys.readouterr().out
    assert "actions: 6 of 6 records can be used" in said
    assert "4 of 4 items of actions, in the catalogue" in said
    assert "missing" not in said


def test_our_own_logs_need_no_map(market: Path) -> None:
    found = proposed(market / "raw")
    assert found == {name: {"pattern": f"{name}.jsonl.gz"} for name in ("catalog", "searches", "actions")}


def shop(folder: Path) -> Path:
    """A shop of other habits: ids in addresses, its own names of actions, results as objects, a file a day, Parquet."""
    items = [{"url": f"/p/{n}", "name": f"lamp number {n}", "vendor": "Lumo", "sale_price": "9.5"} for n in range(40)]
    write(folder / "products-2024.jsonl.gz", items)
    for day in range(1, 4):
        searches = [
            {
                "search_id": f"s{day}-{n}",
                "event_time": 1_717_200_000 + day * 86_400 + n,
                "visitor": {"visitor_id": n % 7},
                "search_term": "a lamp" if n % 2 else "lamp",
                "hits": [{"url": f"/p/{(n + k) % 40}", "rank": k} for k in range(5)],
            }
            for n in range(30)
        ]
        write(folder / "search" / f"2024-06-0{day}.jsonl", searches)
    write(folder / "search" / "notes.jsonl", [{"note": "an old export"}])
    events = {
        "event_name": ["page_view", "select_item", "add_to_cart", "purchase"] * 10,
        "event_time": [1_717_300_000 + n for n in range(40)],
        "visitor_id": [n % 7 for n in range(40)],
        "url": [f"/p/{n}" for n in range(40)],
    }
    pyarrow.parquet.write_table(pyarrow.table(events), folder / "events.parquet")
    return folder


def test_a_shop_of_other_habits(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = proposed(shop(tmp_path / "logs"))
    assert found["catalog"] == {
        "pattern": "products-2024.jsonl.gz",
        "columns": {"brand": "vendor", "item_id": "url", "price": "sale_price", "title": "name"},
    }
    assert found["searches"] == {
        "pattern": "search/[0-9]*.jsonl",
        "columns": {
            "query": "search_term",
            "request_id": "search_id",
            "results": "hits[].url",
            "ts": "event_time",
            "user_id": "visitor.visitor_id",
        },
    }
    assert found["actions"]["columns"] == {
        "action": "event_name",
        "item_id": "url",
        "ts": "event_time",
        "user_id": "visitor_id",
    }
    assert found["actions"]["values"]["action"] == {
        "add_to_cart": "cart",
        "page_view": None,
        "purchase": "order",
        "select_item": "click",
    }
    said = capsys.readouterr().out
    assert "actions: 30 of 40 records can be used (not: 10 action left out)" in said
    assert "left out as none of click, collect, cart and order: page_view" in said
    assert "2024-06-02" in said and "3 files" in said and "search/notes.jsonl: none of our streams" in said


def test_events_of_the_open_schema_and_the_id_that_the_catalogue_has(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    logs = tmp_path / "logs"
    write(logs / "catalog.jsonl", [{"item_id": f"i{n}", "title": f"green lamp {n}"} for n in range(10)])
    query = {"query_id": "q1", "client_id": "ann", "timestamp": DAY, "user_query": "lamp"}
    event = {"action_name": "click", "query_id": "q1", "client_id": "ann", "timestamp": DAY}
    events = [
        event | {"event_attributes": {"object": {"object_id": f"ean{n}", "internal_id": f"i{n}"}}} for n in range(10)
    ]
    write(logs / "ubi.jsonl", [query | {"query_response_object_ids": ["i1", "i2"]}, *events])
    assert proposed(logs) == {
        "format": "ubi",
        "ubi": {"pattern": "ubi.jsonl", "item_id": "event_attributes.object.internal_id"},
        "catalog": {"pattern": "catalog.jsonl"},
    }
    assert "ubi: 11 of 11 records can be used" in capsys.readouterr().out


def test_what_is_missing_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "logs"
    write(logs / "products.jsonl", [{"sku": f"s{n}", "name": f"red shoes {n}"} for n in range(10)])
    assert proposed(logs)["catalog"]["columns"] == {"item_id": "sku", "title": "name"}
    said = capsys.readouterr().out
    assert "missing: searches" in said and "missing: actions" in said and "configs/first_day.yaml" in said


def test_ids_that_nobody_shares_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = shop(tmp_path / "logs")
    write(logs / "products-2024.jsonl.gz", [{"sku": f"other{n}", "name": f"lamp number {n}"} for n in range(40)])
    proposed(logs)
    assert "0 of 34 items that searches show, in the catalogue: are these the same ids?" in capsys.readouterr().out


def test_broken_lines_are_counted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    logs = tmp_path / "logs"
    path = write(logs / "products.jsonl", [{"sku": f"s{n}", "name": f"red shoes {n}"} for n in range(10)])
    path.write_text(path.read_text() + "{broken\n[1]\n")
    proposed(logs)
    said = " ".join(capsys.readouterr().out.split())
    assert "10 records read, 1 unparsable, 1 not an object" in said


def test_mistakes_are_one_line(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    logs.mkdir()
    with pytest.raises(UserError, match="no log in it"):
        main([str(logs)])
    with pytest.raises(UserError, match="no log in it"):
        main([str(tmp_path / "nowhere")])
    write(logs / "a.jsonl", [{"a": 1}])
    with pytest.raises(UserError, match="--records 0"):
        main([str(logs), "--records", "0"])
    with pytest.raises(UserError, match="exists; name a new file"):
        main([str(logs), "--output", str(logs / "a.jsonl")])
    (logs / "b.jsonl.gz").write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:40])
    with pytest.raises(UserError, match=r"cannot read .*b\.jsonl\.gz"):
        main([str(logs)])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda one: st.lists(one, max_size=3) | st.dictionaries(st.text(max_size=4), one, max_size=3),
    max_leaves=8,
)


@given(st.lists(st.lists(st.dictionaries(st.text(max_size=5), JSON, max_size=4), min_size=1, max_size=4), max_size=3))
def test_no_document_breaks_it_and_no_file_is_two_streams(logs: list[list[dict[str, Any]]]) -> None:
    looked = [Looked(f"file-{place}", facts_of(one), len(one)) for place, one in enumerate(logs)]
    for one in looked:
        assert all(0 < facts.there <= one.records for facts in one.facts.values())
    proposal = propose(looked)
    patterns = [stream.looked.pattern for stream in proposal.streams.values()]
    assert len(set(patterns)) == len(patterns)
    for stream in proposal.streams.values():
        assert len(set(stream.columns.values())) == len(stream.columns)
    input_section(proposal)


@pytest.mark.parametrize("ending", ["jsonl.gz", "parquet", "avro"])
def test_an_export_of_google_analytics_is_known_by_its_fields(
    ending: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    samples = ROOT / "examples" / "logs"
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("events", "catalog"):
        shutil.copy(samples / f"{name}.{ending}", logs / f"{name}-20240601.{ending}")
    section = proposed(logs)
    assert section["format"] == "ga4"
    assert section["ga4"] == {"pattern": f"events-20240601.{ending}"}
    assert section["catalog"]["pattern"] == f"catalog-20240601.{ending}"
    said = capsys.readouterr().out
    assert f"events-20240601.{ending}: Google Analytics 4" in said
    assert re.search(r"ga4: 301 of 304 records can be used", said)
    assert "items of actions, in the catalogue" in said


@pytest.mark.parametrize("ending", ["parquet", "avro"])
def test_streams_in_tables_are_read_as_lines_are(ending: str, tmp_path: Path) -> None:
    for folder, kind in (("lines", "jsonl.gz"), ("tables", ending)):
        (tmp_path / folder / "logs").mkdir(parents=True)
        for name in ("catalog", "searches", "actions"):
            shutil.copy(ROOT / "examples" / "logs" / f"{name}.{kind}", tmp_path / folder / "logs")
    lines, tables = (proposed(tmp_path / folder / "logs") for folder in ("lines", "tables"))
    assert tables == json.loads(json.dumps(lines).replace("jsonl.gz", ending))


def test_a_catalogue_says_where_events_have_its_ids(tmp_path: Path) -> None:
    events = [
        {
            "event_name": "select_item",
            "event_timestamp": 1_717_232_400_000_000,
            "user_pseudo_id": "1",
            "event_params": [{"key": "page_location", "value": {"string_value": "https://s/?q=shoes"}}],
            "items": [{"item_id": f"parent-{number}", "item_variant": f"s{number}"}],
        }
        for number in range(20)
    ]
    write(tmp_path / "logs" / "events.jsonl", events)
    write(tmp_path / "logs" / "products.jsonl", [{"sku": f"s{n}", "name": f"red shoes {n}"} for n in range(20)])
    assert proposed(tmp_path / "logs")["ga4"] == {"pattern": "events.jsonl", "item_id": "item_variant"}
