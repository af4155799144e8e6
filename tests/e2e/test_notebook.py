"""examples/notebook.py runs as it stands, and finds what plain arithmetic finds."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import Run
from tests.e2e.market import ROOT

_RUN = """
import runpy, sys
import numpy as np
names = runpy.run_path(sys.argv[1])
asked = names["encode_queries"](names["towers"], "out/data", [names["query"]])[0]
items = names["spec"]["items"]
np.savez("searched.npz", asked=asked, vectors=names["vectors"].numpy(), items=items, titles=len(names["titles"]))
"""


def test_the_notebook(finished: Run, tmp_path: Path) -> None:
    """In a process of its own, as a notebook has one."""
    (tmp_path / "out").mkdir()
    (tmp_path / "out/data").symlink_to(finished.data)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    done = subprocess.run(
        [sys.executable, "-c", _RUN, str(ROOT / "examples/notebook.py")],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    said, searched = done.stdout, np.load(tmp_path / "searched.npz")
    asked, vectors = searched["asked"], searched["vectors"]
    assert searched["titles"] == searched["items"]
    best = np.argsort(-(vectors @ asked), kind="stable")[:5]
    shown = re.findall(r"^ +(-?[\d.]+)  (.*)$", said, re.M)
    assert [float(score) for score, _ in shown] == pytest.approx((vectors @ asked)[best], abs=0.006)
    assert {title for _, title in shown} <= {one["title"] for one in finished.log.catalog}
    loss, recall = float(re.findall(r"loss: ([\d.]+)", said)[0]), float(re.findall(r"recall@100: ([\d.]+)", said)[0])
    assert np.isfinite(loss) and 0 < recall <= 1  # what is clicked in this log is chance


def test_it_is_a_page_of_prose_and_code() -> None:
    lines = (ROOT / "examples/notebook.py").read_text().splitlines()
    assert len(lines) <= 100
    cells = [line for line in lines if line.startswith("# %%")]
    assert cells[::2] == ["# %% [markdown]"] * (len(cells) // 2) and set(cells[1::2]) == {"# %%"}
