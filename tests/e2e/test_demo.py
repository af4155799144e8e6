"""The whole way as `make demo` goes it, on a small market, interrupted at every stage; and with everything done."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from serving.runtime.ui.files import read_users

ROOT = Path(__file__).parents[2]
# What appears while a stage is under way.
MOMENTS = ("raw/*.partial", "data", "mgdspr/checkpoints/*", "models/mgdspr/*", "server.log")


def start(out: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "serving.demo", "--output", str(out), "--items", "500", "--users", "200"]
    with out.with_suffix(".said").open("w") as said, out.with_suffix(".error").open("w") as error:
        return subprocess.Popen(command, cwd=ROOT, stdout=said, stderr=error, start_new_session=True)


def heard(out: Path) -> tuple[str, str]:
    return out.with_suffix(".said").read_text(), out.with_suffix(".error").read_text()


def interrupt(out: Path, moment: str) -> None:
    """Starts the demo, and types Ctrl-C as soon as something is there."""
    demo = start(out)
    while demo.poll() is None and not any(out.glob(moment)):
        time.sleep(0.01)
    if demo.poll() is None:
        os.killpg(demo.pid, signal.SIGINT)
    status = demo.wait(600)
    said, error = heard(out)
    assert "Traceback" not in said + error, error
    if status:  # else it was through before it heard of it
        assert status == 130, said + error
        assert error.endswith("error: interrupted; run the same command again to go on\n")


def whole(out: Path) -> str:
    status = start(out).wait(1200)
    said, error = heard(out)
    assert status == 0, said + error
    return said


@pytest.mark.timeout(1800)
def test_the_demo_goes_on_wherever_it_was_interrupted(tmp_path: Path) -> None:
    out = tmp_path / "out"
    for moment in MOMENTS:
        interrupt(out, moment)
    said = whole(out)
    assert said.count("done before") == 6  # the last moment was behind them all
    assert len(re.findall(r"for U\d+, who likes", said)) == 10
    assert "P00" not in said.split("Serve it")[1].split("Done in")[0]  # titles, not bare ids
    metrics = json.loads((out / "mgdspr/metrics.json").read_text())
    assert set(metrics["models"]) == {"BM25", "similar past queries", "mgdspr", "mgdspr without the past", "tfrs"}
    assert re.search(r"Of 30 products \d+ are right for whom they are shown to, \d+ would be", said)
    assert (out / "models/mgdspr/1/saved_model.pb").exists()
    assert len(read_users(str(out / "users.jsonl"))) == 2
