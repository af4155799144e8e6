"""Files found, looked into, and read under other names."""

from __future__ import annotations

import bz2
import gzip
import json
from pathlib import Path
from typing import Any

import apache_beam as beam
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocessing.command.console import UserError
from preprocessing.command.runners import beam_options, runner_of
from preprocessing.config_input import InputConfig, StreamConfig
from preprocessing.logs.columns import columns_of
from preprocessing.logs.documents import loader, renamer
from preprocessing.logs.parse import document_loader, parser
from preprocessing.logs.records import Rejected
from preprocessing.logs.sources import Read, Source, find, records_in, refuse_inside, sniff

SEARCH = {"request_id": "r", "ts": 1_700_000_000, "user_id": "u", "query": "sofa", "results": ["a"]}


def look(source: Source, config: InputConfig) -> None:
    parse = parser(source.stream, config)
    path = source.paths[0]
    sniff(
        source.stream,
        path,
        records_in(source.stream, path),
        document_loader(source.stream, config),
        lambda document: parse(document, "f", 0, []),
    )


def test_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "searches-1.jsonl").write_bytes(b"x" * 10)
    (tmp_path / "searches-2.jsonl.gz").write_bytes(b"no gzip")
    source = find("searches", str(tmp_path), "searches*")
    assert [Path(path).name for path in source.paths] == ["searches-1.jsonl", "searches-2.jsonl.gz"]
    assert source.size == 17  # what cannot be told is left to the look into it


def test_the_size_of_a_source_is_that_of_its_records(tmp_path: Path) -> None:
    records = [{**SEARCH, "request_id": f"r{number}", "unread": "x" * 500} for number in range(5_000)]
    plain = b"".join(json.dumps(record).encode() + b"\n" for record in records)
    codecs = {"gz": gzip.compress, "bz2": bz2.compress, "zst": pa.Codec("zstd").compress}
    for ending, compress in codecs.items():
        (tmp_path / f"{ending}-searches.jsonl.{ending}").write_bytes(compress(plain))
        found = find("searches", str(tmp_path), f"{ending}-*")
        assert found.size == pytest.approx(len(plain), rel=0.02)
    pq.write_table(pa.Table.from_pylist(records), tmp_path / "searches.parquet", compression="zstd")
    whole = find("searches", str(tmp_path), "*.parquet")
    needed = find("searches", str(tmp_path), "*.parquet", columns_of("searches", InputConfig()))
    assert whole.size == pytest.approx(len(plain), rel=0.1)
    assert needed.size == pytest.approx(len(plain) - 5_000 * 515, rel=0.2)


def test_the_columns_of_a_stream_are_those_that_it_maps() -> None:
    columns = {"user_id": "session.user", "results": "page[].sku"}
    config = InputConfig(searches=StreamConfig(pattern="", columns=columns))
    assert columns_of("searches", config) == ("request_id", "ts", "session.user", "query", "page")
    catalog = columns_of("catalog", config)
    assert catalog is not None and "vector" not in catalog and "title" in catalog
    assert columns_of("ubi", InputConfig(format="ubi")) is None


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "no file matches"),
        (["searches.csv"], "neither JSON Lines"),
        (["searches.jsonl", "searches.parquet"], "both JSON Lines and Parquet"),
        (["searches.avro", "searches.jsonl.gz"], "both Avro and JSON Lines"),
    ],
)
def test_what_is_not_found(tmp_path: Path, names: list[str], message: str) -> None:
    for name in names:
        (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=message):
        find("searches", str(tmp_path), "searches*")


def test_columns_by_other_names(tmp_path: Path) -> None:
    theirs: dict[str, Any] = {"id": "r", "time": 1_700_000_000, "client": {"id": "u"}, "q": "sofa", "shown": ["a"]}
    columns = {"request_id": "id", "ts": "time", "user_id": "client.id", "query": "q", "results": "shown"}
    assert {**SEARCH}.items() <= dict(loader(columns)(json.dumps(theirs).encode())).items()
    assert renamer({"user_id": "client.id.deeper"})(theirs)["user_id"] is None
    assert renamer({"user_id": "client.id"})({"client.id": "u"})["user_id"] == "u"  # a name with a dot in it
    pages: dict[str, Any] = {"page": {"hits": [{"sku": "a"}, {"sku": "b"}, {}, 3]}, "no list": 3}
    assert renamer({"results": "page.hits[].sku"})(pages)["results"] == ["a", "b", None, None]
    assert renamer({"results": "page.hits[]"})(pages)["results"] == pages["page"]["hits"]
    assert renamer({"results": "no list[].sku"})(pages)["results"] is None
    (tmp_path / "searches.jsonl").write_text(json.dumps(theirs) + "\n")
    source = find("searches", str(tmp_path), "searches*")
    look(source, InputConfig(searches=StreamConfig(pattern="searches*", columns=columns)))
    with pytest.raises(UserError, match=r"missing ts \(its fields: id, time, client, q, shown\)"):
        look(source, InputConfig())


@pytest.mark.parametrize("line", [b"{", b"\xff", b"3", b'"text"'])
def test_what_is_no_document(line: bytes) -> None:
    with pytest.raises(Rejected):
        loader({})(line)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("searches.jsonl", b"", "no usable record"),
        ("searches.jsonl", b"\n\n", "no usable record"),
        (
            "searches.jsonl",
            b'{"ts": 3, "user_id": "u", "item_id": "i", "action": "click"}\n',
            "missing query|out of bounds",
        ),
        ("searches.jsonl.gz", b"this is no gzip", "cannot read"),
        ("searches.parquet", b"this is no parquet", "cannot read"),
    ],
)
def test_a_wrong_file_is_told_at_once(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=message) as error:
        look(find("searches", str(tmp_path), "searches*"), InputConfig())
    assert name in str(error.value)


def test_a_good_record_behind_bad_ones_is_enough(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "searches.jsonl.gz", "wb") as file:
        file.write(b"garbage\n" * 20 + json.dumps(SEARCH).encode() + b"\n")
    look(find("searches", str(tmp_path), "searches*"), InputConfig())


def test_parquet_is_looked_into(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([SEARCH]), tmp_path / "searches.parquet")
    look(find("searches", str(tmp_path), "searches*"), InputConfig())


@pytest.mark.parametrize(
    ("output", "refused"),
    [
        ("raw", True),  # is it
        ("raw/", True),
        ("raw/data", True),  # lies in it
        (".", True),  # holds it
        ("other/../raw", True),
        ("link/data", True),
        ("data", False),
        ("raw2", False),
    ],
)
def test_an_output_that_meets_the_raw_logs_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, output: str, refused: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "raw" / "day=1").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "raw")
    (tmp_path / "raw" / "day=1" / "searches.jsonl").write_bytes(b"x")
    source = find("searches", "raw", "day=*/searches*")
    if not refused:
        return refuse_inside(output, [source])
    with pytest.raises(UserError, match=r"--output .* and the raw logs of searches"):
        refuse_inside(output, [source])
    return None


@pytest.mark.parametrize(
    ("output", "refused"),
    [
        ("gs://shop/raw", True),
        ("gs://shop/raw/", True),
        ("gs://shop/raw/data", True),
        ("gs://shop", True),
        ("gs://shop/raw2", False),
        ("gs://other/raw", False),
        ("shop/raw", False),
    ],
)
def test_so_it_is_in_a_bucket(output: str, refused: bool) -> None:
    source = Source("catalog", ("gs://shop/raw/catalog-1.jsonl",), 1, "gs://shop/raw")
    if refused:
        with pytest.raises(UserError, match="--output"):
            refuse_inside(output, [source])
    else:
        refuse_inside(output, [source])


@pytest.mark.parametrize("name", ["searches.jsonl", "searches.jsonl.gz", "searches.parquet"])
def test_a_file_that_vanishes_before_it_is_read_fails_the_job(tmp_path: Path, name: str) -> None:
    for number in (1, 2):
        (tmp_path / name.replace(".", f"-{number}.", 1)).write_bytes(b"")
    source = find("searches", str(tmp_path), "searches*")
    for path in source.paths:
        Path(path).unlink()
    options = beam_options([], [], 0)
    pipeline = beam.Pipeline(runner=runner_of(options), options=options)
    _ = pipeline | Read(source)
    with pytest.raises(Exception, match=r"searches-\d"):
        pipeline.run().wait_until_finish()


def test_a_name_with_a_wildcard_is_refused(tmp_path: Path) -> None:
    (tmp_path / "searches[1].jsonl").write_bytes(b"x")
    with pytest.raises(UserError, match=r"searches\[1\].jsonl has a wildcard"):
        find("searches", str(tmp_path), "searches*")
