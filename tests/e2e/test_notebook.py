"""examples/notebook.py runs as it stands, and finds what plain arithmetic finds."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

from tests.e2e.conftest import Run
from tests.e2e.market import ROOT


def test_the_notebook(
    finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/data").symlink_to(finished.data)
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(ROOT / "examples/notebook.py"))
    said = capsys.readouterr().out
    asked = names["encode_queries"](names["towers"], "out/data", [names["query"]])[0]
    vectors, titles = names["vectors"].numpy(), names["titles"].numpy()
    assert len(titles) == names["spec"]["items"]
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
