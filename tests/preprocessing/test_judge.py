"""Judgments from a log: counted as worked out by hand, and nearer to the truth than click rates."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from benchmarks.judge import COEC, PBM, RATE, compare
from preprocessing.command.console import UserError
from preprocessing.judge import main
from preprocessing.judging import judgment_files
from preprocessing.simulate import simulate
from tests.packages import ROOT

DEMO = str(ROOT / "configs" / "demo.yaml")
DAY = "2024-06-01T09:{:02d}:00Z"


def write(folder: Path, searches: list[dict[str, Any]], actions: list[dict[str, Any]]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    for name, records in (("searches", searches), ("actions", actions)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    return str(folder)


def search(number: int, query: str, *results: str) -> dict[str, Any]:
    return {"request_id": f"r{number}", "ts": DAY.format(number), "user_id": "u", "query": query, "results": results}


def click(number: int, item: str, action: str = "click") -> dict[str, Any]:
    return {"request_id": f"r{number}", "ts": DAY.format(number), "user_id": "u", "item_id": item, "action": action}


SEARCHES = [*(search(n, "lamp", "a", "b", "c") for n in range(6)), search(6, "", "a"), search(7, 'oak "lamp"', "b")]
ACTIONS = [
    *(click(n, "b") for n in range(3)),
    click(0, "b", "order"),  # one click a page
    click(4, "a"),
    click(7, "b"),
    {**click(5, "c"), "request_id": None},  # falls back on the page
]


def judged(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress((output / "judgments.jsonl.gz").read_bytes()).splitlines()]


def test_clicks_are_counted_by_page_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw, output = write(tmp_path / "raw", SEARCHES, ACTIONS), tmp_path / "judged"
    flags = ["--config", DEMO, "--input", raw, "--output", str(output), "--set", "preprocessing.input.catalog=null"]
    assert main([*flags, "--model", "coec", "--least-shown", "1"]) == 0
    found = {(one["query"], one["item_id"]): one for one in judged(output)}
    assert {key: (one["shown"], one["clicked"]) for key, one in found.items()} == {
        ("lamp", "a"): (6, 1),
        ("lamp", "b"): (6, 3),
        ("lamp", "c"): (6, 1),
        ('oak "lamp"', "b"): (1, 1),
    }
    # At the first place 2 of 7 pages were clicked, at the second 3 of 6, at the third 1 of 6.
    assert found["lamp", "a"]["score"] == pytest.approx(1 / (6 * 2 / 7 + 1), abs=1e-4)
    assert found["lamp", "b"]["score"] == pytest.approx(3 / (6 * 3 / 6 + 1), abs=1e-4)
    assert [one["grade"] for one in judged(output)] == [1, 0, 0, 1]
    summary = json.loads((output / "judge.json").read_text())
    assert (summary["shown"], summary["clicked"]) == ([7, 6, 6], [2, 3, 1])
    assert summary["streams"]["searches"] == {"in": 8, "rejected": 0}
    assert "4 items of 2 queries: 0 of grade 3" in capsys.readouterr().out
    workbench = json.loads((output / "opensearch.json").read_text())
    assert workbench["type"] == "IMPORT_JUDGMENT"
    assert [one["query"] for one in workbench["judgmentRatings"]] == ["lamp", 'oak "lamp"']
    assert workbench["judgmentRatings"][1]["ratings"] == [{"docId": "b", "rating": "1.000"}]
    before = {path.name: path.read_bytes() for path in output.iterdir()}
    assert main([*flags, "--model", "coec", "--least-shown", "1"]) == 0  # again, over its own
    assert {path.name: path.read_bytes() for path in output.iterdir()} == before


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (["--least-shown", "0"], "--least-shown 0: at least 1"),
        (["--grades", "1,2"], "--grades 1,2: three numbers"),
        (["--grades", "2,1,3"], "each higher than the one before"),
        (["--grades", "0,1,2"], "each higher than the one before, and over 0"),
        (["--input", "{empty}"], "no click on what a search showed"),
        (["--input", "{broken}"], "searches: 8 of 16 records cannot be read, mostly for 'unparsable'"),
        (["--template_location=anywhere"], "leave out --template_location"),
        (["--output", "{full}"], "holds thesis.txt, which this command did not write"),
    ],
)
def test_a_mistake_is_told_in_a_line(change: list[str], said: str, tmp_path: Path) -> None:
    raw = write(tmp_path / "raw", SEARCHES, ACTIONS)
    write(tmp_path / "empty", SEARCHES, [click(9, "nothing")])
    write(tmp_path / "broken", SEARCHES, ACTIONS)
    with (tmp_path / "broken" / "searches.jsonl").open("a") as file:
        file.write("{broken\n" * 8)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("years of work")
    places = {name: str(tmp_path / name) for name in ("empty", "broken", "full")}
    flags = ["--config", DEMO, "--input", raw, "--output", str(tmp_path / "out")]
    flags += ["--set", "preprocessing.input.catalog=null", *(one.format(**places) for one in change)]
    with pytest.raises(UserError, match=said):
        main(flags)
    assert not list((tmp_path / "out").rglob("*.*"))
    assert [path.name for path in (tmp_path / "full").iterdir()] == ["thesis.txt"]


def test_a_run_that_was_killed_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw, output = write(tmp_path / "raw", SEARCHES, ACTIONS), tmp_path / "judged"
    flags = ["--config", DEMO, "--input", raw, "--output", str(output), "--set", "preprocessing.input.catalog=null"]
    whole, files = judgment_files.write_file, list[str]()

    def dying(path: str, chunks: Iterable[bytes]) -> None:
        if files:
            raise OSError("the machine is gone")
        files.append(path)
        whole(path, chunks)

    with monkeypatch.context() as patch:
        patch.setattr(judgment_files, "write_file", dying)
        with pytest.raises(OSError, match="the machine is gone"):
            main(flags)
    (output / "judgments.jsonl.gz.1234.part").write_text("half")
    assert main(flags) == 0
    (output / "judgments.jsonl.gz.1234.part").unlink()
    assert {path.name for path in output.iterdir()} == {"judge.json", "judgments.jsonl.gz", "opensearch.json"}


def test_models_are_nearer_to_the_truth_than_click_rates(tmp_path: Path) -> None:
    simulate(tmp_path / "raw", items=1_000, users=600, days=14, seed=5)
    found = compare(str(tmp_path / "raw"), least_shown=5)
    for model in (COEC, PBM):
        lead, low, _ = found["rows"][model]["lead"]
        assert low > 0, (found["rows"][RATE], lead)
