"""The samples that are shipped are what their script makes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from preprocessing.config_input import InputConfig
from preprocessing.logs.parse import document_loader, parser
from preprocessing.logs.sources import records_in
from tests.packages import ROOT

SAMPLES = ROOT / "examples" / "logs"


def test_the_script_makes_them(tmp_path: Path) -> None:
    subprocess.run([sys.executable, SAMPLES / "make_samples.py", tmp_path], check=True)
    shipped = {path.name: path.read_bytes() for path in SAMPLES.iterdir() if path.suffix in (".gz", ".avro")}
    assert len(shipped) == 8
    assert {name: (tmp_path / name).read_bytes() for name in shipped} == shipped


@pytest.mark.parametrize("stream", ["catalog", "searches", "actions"])
@pytest.mark.parametrize("ending", ["parquet", "avro"])
def test_each_format_holds_the_same(stream: str, ending: str) -> None:
    config = InputConfig()
    load, parse = document_loader(stream, config), parser(stream, config)
    of_format, of_lines = (
        [parse(load(raw), "f", 0, []) for raw in records_in(stream, str(SAMPLES / f"{stream}.{kind}"))]
        for kind in (ending, "jsonl.gz")
    )
    assert of_format == of_lines
