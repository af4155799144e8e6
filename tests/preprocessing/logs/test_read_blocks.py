"""Reading by spans and blocks: each record once and in its place, wherever it lies."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from preprocessing.logs import read_blocks
from preprocessing.logs.arrow_rows import records_of
from preprocessing.logs.read_blocks import blocks, spans

LINES = [b"a", b"", b"bcd", b"  ", b"efghij\r", b"k" * 50, b"l", b"\xc3\xbc", b"m" * 9]
EXPECTED = [line.rstrip(b"\r") for line in LINES if line.strip()]


def zstd(text: bytes) -> bytes:
    """In two frames, as tools that append write them."""
    codec, half = pa.Codec("zstd"), len(text) // 2
    return codec.compress(text[:half], asbytes=True) + codec.compress(text[half:], asbytes=True)


def read(path: Path) -> list:
    """The records in the order of their places, spans in any order."""
    placed = []
    for span in reversed(list(spans(str(path)))):
        for block in blocks(span):
            assert block.path == str(path)
            placed += list(enumerate(records_of(block), block.place))
    assert len({place for place, _ in placed}) == len(placed)
    return [record for _, record in sorted(placed, key=lambda one: one[0])]


@pytest.mark.parametrize("span", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_each_line_is_read_once(span: int, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_blocks, "_SPAN", span)
    monkeypatch.setattr(read_blocks, "_REST", 5)
    text = b"\n".join(LINES) + end
    for name, written in (
        ("r.jsonl", text),
        ("r.jsonl.gz", gzip.compress(text)),
        ("r.jsonl.bz2", bz2.compress(text)),
        ("r.jsonl.zst", zstd(text)),
    ):
        (tmp_path / name).write_bytes(written)
        assert read(tmp_path / name) == EXPECTED


def test_a_mark_of_byte_order_is_no_part_of_the_first_line(tmp_path: Path) -> None:
    for name, pack in (("r.jsonl", bytes), ("r.jsonl.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(b"\xef\xbb\xbf{}\n\xef\xbb\xbfx"))
        assert read(tmp_path / name) == [b"{}", b"\xef\xbb\xbfx"]


def test_an_empty_file_has_no_records(tmp_path: Path) -> None:
    (tmp_path / "r.jsonl").write_bytes(b"")
    assert read(tmp_path / "r.jsonl") == []
    pq.write_table(pa.table({"a": pa.array([], pa.int64())}), tmp_path / "r.parquet")
    assert read(tmp_path / "r.parquet") == []


def test_rows_of_parquet_have_their_places_across_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_blocks, "_ROWS", 7)
    pq.write_table(pa.table({"a": range(100)}), tmp_path / "r.parquet", row_group_size=30)
    assert read(tmp_path / "r.parquet") == [{"a": number} for number in range(100)]


@pytest.mark.parametrize("span", [1, 5, 7, 30, 99])
def test_a_row_group_is_read_in_pieces(span: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_blocks, "_ROWS", 7)
    monkeypatch.setattr(read_blocks, "_SPAN_ROWS", span)
    pq.write_table(pa.table({"a": range(100)}), tmp_path / "r.parquet", row_group_size=64)
    assert max(one.end - one.begin for one in spans(str(tmp_path / "r.parquet"))) == min(span, 64)
    assert read(tmp_path / "r.parquet") == [{"a": number} for number in range(100)]


def test_of_parquet_the_columns_alone_are_read(tmp_path: Path) -> None:
    path = str(tmp_path / "r.parquet")
    pq.write_table(pa.table({"a": [1], "b": [{"c": 2, "d": 3}], "e": [[{"f": 4}]]}), path)
    (span,) = spans(path)
    found = [record for block in blocks(span, ["a", "b.d", "e", "not there"]) for record in records_of(block)]
    assert found == [{"a": 1, "b": {"d": 3}, "e": [{"f": 4}]}]
    assert [record for block in blocks(span, ["not there"]) for record in records_of(block)] == [{}]


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("zst", zstd)])
def test_a_file_that_breaks_off_is_no_whole_one(tmp_path: Path, ending: str, pack) -> None:  # type: ignore[no-untyped-def]
    path = tmp_path / f"rows.jsonl.{ending}"
    path.write_bytes(pack(b"\n".join(LINES))[:-6])
    with pytest.raises(OSError, match=r"rows\.jsonl\."):
        read(path)


def test_a_file_that_is_gone_is_not_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(OSError, match=r"r\.jsonl: it was there when the job began"):
        list(spans(str(tmp_path / "r.jsonl")))
