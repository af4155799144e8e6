"""Reading lines by spans and blocks: each line once, wherever it lies."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from serving.batch import input_files
from serving.batch.input_files import ReadLines, spans

LINES = [b"a", b"", b"bcd", b"  ", b"efghij\r", b"k" * 50, b"l", b"\xc3\xbc", b"m" * 9]


def read(path: Path) -> list[bytes]:
    found = [list(ReadLines().process(span)) for span in spans(str(path))]
    assert all(name == str(path) for blocks in found for name, _ in blocks)
    return [line for blocks in found for _, block in blocks for line in block]


@pytest.mark.parametrize("span", [1, 2, 3, 7, 64, 1000])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n\n"])
def test_each_line_is_read_once(span: int, end: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(input_files, "_SPAN", span)
    monkeypatch.setattr(input_files, "_REST", 5)
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(LINES) + end)
    expected = [line.rstrip(b"\r") for line in LINES if line.strip()]
    assert read(path) == expected
    zipped = tmp_path / "rows.jsonl.gz"
    zipped.write_bytes(gzip.compress(path.read_bytes()))
    assert read(zipped) == expected


def test_an_empty_file_has_no_lines(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_bytes(b"")
    assert read(tmp_path / "rows.jsonl") == []


def test_a_file_that_breaks_off_is_no_whole_one(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b"\n".join(LINES))[:-6])
    with pytest.raises(OSError, match=r"rows\.jsonl\.gz"):
        read(path)
