"""The whole way as `make demo` goes it, on a small market; and once more, with everything done."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from serving.runtime.ui.files import read_users

ROOT = Path(__file__).parents[2]


def demo(out: Path) -> str:
    command = [sys.executable, "-m", "serving.demo", "--output", str(out), "--items", "500", "--users", "200"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=800, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout


def test_the_demo(tmp_path: Path) -> None:
    out = tmp_path / "out"
    said = demo(out)
    assert "done before" not in said and len(re.findall(r"for U\d+, who likes", said)) == 10
    titles = (out / "raw/catalog.jsonl.gz").exists() and said
    assert titles and "P00" not in said.split("Serve it")[1].split("Done in")[0]  # titles, not bare ids
    metrics = json.loads((out / "mgdspr/metrics.json").read_text())
    assert set(metrics["models"]) == {"BM25", "mgdspr", "tfrs"}
    assert (out / "models/mgdspr/1/saved_model.pb").exists()
    assert len(read_users(str(out / "users.jsonl"))) == 2
    again = demo(out)
    assert again.count("done before") == 6 and len(re.findall(r"for U\d+, who likes", again)) == 10
