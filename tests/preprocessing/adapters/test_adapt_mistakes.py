"""A user's mistake: one line that names the file and the field, exit status 2, and nothing half done."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from preprocessing.adapt import main
from preprocessing.command.console import run_command
from tests.preprocessing.adapters.test_adapt_formats import esci, movielens, ubi, wands

PRODUCT, JUDGMENT = {"item_id": "p", "title": "t"}, {"query": "q", "item_id": "p", "label": 3}
Case = tuple[list[object], list[object], list[str], str]  # products, judgments, flags, what is told

JUDGED: dict[str, Case] = {
    "no id": ([{"title": "t"}], [JUDGMENT], [], "p.jsonl line 1: no field 'item_id'; its fields: title"),
    "bad title": ([{**PRODUCT, "title": ["t"]}], [JUDGMENT], [], "p.jsonl line 1: title is ['t'], expected a text"),
    "bad price": ([{**PRODUCT, "price": "dear"}], [JUDGMENT], [], "line 1: price is 'dear', expected a number"),
    "bad stock": ([{**PRODUCT, "in_stock": "maybe"}], [JUDGMENT], [], "p.jsonl line 1: bad in_stock"),
    "bad categories": ([{**PRODUCT, "categories": 3}], [JUDGMENT], [], "line 1: categories is 3, expected a list"),
    "no product": ([], [JUDGMENT], [], "the catalogue holds no product"),
    "not JSON": (["{broken"], [JUDGMENT], [], "p.jsonl line 1: not JSON"),
    "a list": ([[1]], [JUDGMENT], [], "p.jsonl line 1: a list, expected one JSON object a line"),
    "no label": ([PRODUCT], [{"query": "q", "item_id": "p"}], [], "j.jsonl line 1: no field 'label'"),
    "no query": ([PRODUCT], [{"item_id": "p", "label": 1}], [], "j.jsonl line 1: no field 'query'"),
    "word label": ([PRODUCT], [{**JUDGMENT, "label": "good"}], [], "line 1: label is 'good', expected a number"),
    "unknown word": (
        [PRODUCT],
        [{**JUDGMENT, "label": "Exakt"}],
        ["--labels", "Exact=3"],
        "j.jsonl line 1: label is 'Exakt'; did you mean 'Exact'",
    ),
    "no positive": ([PRODUCT], [{**JUDGMENT, "label": 1}], [], "no train query has an item that is ordered"),
    "one query": ([PRODUCT], [JUDGMENT], [], "no train query has an item"),
    "big grade": (
        [PRODUCT],
        [{**JUDGMENT, "query": f"q{n}", "label": 100} for n in range(9)],
        [],
        "label 100 is no grade of 0 to 3; say with --grades",
    ),
    "stages": ([PRODUCT], [JUDGMENT], ["--stages", "ordered=3"], "--stages 'ordered=3': expected name>=label"),
    "stage name": ([PRODUCT], [JUDGMENT], ["--stages", "order>=3"], "unknown 'order'; did you mean 'ordered'"),
    "stage number": ([PRODUCT], [JUDGMENT], ["--stages", "ordered>=x"], "'x' is not a number"),
    "stage order": ([PRODUCT], [JUDGMENT], ["--stages", "ordered>=1,clicked>=2"], "ordered must ask for a higher"),
    "grades": ([PRODUCT], [JUDGMENT], ["--grades", "4>=1"], "--grades '4>=1': unknown '4'"),
    "share": ([PRODUCT], [JUDGMENT], ["--test-share", "20"], "--test-share 20: a share between 0 and 1"),
    "no number": ([PRODUCT], [JUDGMENT], ["--test-share", "a"], "argument --test-share: invalid float value: 'a'"),
    "fold": ([PRODUCT], [JUDGMENT], ["--fold", "5"], "--fold 5: with --test-share 0.2 there are folds 0 to 4"),
    "columns": ([PRODUCT], [JUDGMENT], ["--product-columns", "titel=name"], "unknown field 'titel'; did you mean"),
    "half a column": ([PRODUCT], [JUDGMENT], ["--judgment-columns", "query"], "expected ours=theirs"),
    "no file": ([PRODUCT], [JUDGMENT], ["--products", "/nowhere.jsonl"], "--products /nowhere.jsonl: no such file"),
    "a folder": ([PRODUCT], [JUDGMENT], ["--products", "/"], "--products /: is a folder, expected a file"),
    "flag": ([PRODUCT], [JUDGMENT], ["--tset-share", "0.2"], "did you mean '--test-share'"),
    "labels": ([PRODUCT], [JUDGMENT], ["--labels", "Exact"], "--labels 'Exact': expected word=number"),
}


@pytest.fixture
def told(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Runs the command with a mistake in it; its one line."""

    def run(*argv: object) -> str:
        with pytest.raises(SystemExit) as end:
            run_command(lambda _: main([str(one) for one in argv]))
        error = capsys.readouterr().err
        assert end.value.code == 2, error
        assert error.startswith("error: ")
        assert error.count("\n") == 1
        return error

    return run


@pytest.mark.parametrize("name", JUDGED)
def test_judged(name: str, tmp_path: Path, told: Callable[..., str]) -> None:
    products, judgments, flags, message = JUDGED[name]
    for file, records in (("p.jsonl", products), ("j.jsonl", judgments)):
        lines = [one if isinstance(one, str) else json.dumps(one) for one in records]
        (tmp_path / file).write_text("\n".join(lines))
    files = ["--products", tmp_path / "p.jsonl", "--judgments", tmp_path / "j.jsonl"]
    assert message in told("judged", *files, *flags, tmp_path / "raw")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["j.jsonl", "p.jsonl"]


def replace(path: Path, old: str, new: str) -> None:
    path.write_text(path.read_text("latin-1").replace(old, new, 1), "latin-1")


def test_wands(tmp_path: Path, told: Callable[..., str]) -> None:
    folder = wands(tmp_path / "wands")
    replace(folder / "label.csv", "Exact", "Exactly")
    assert "label.csv line 2: label is 'Exactly'; did you mean 'Exact'" in told("wands", folder, tmp_path / "raw")
    replace(folder / "label.csv", "0\t0\t0\tExactly", "0\t77\t0\tExact")
    assert "label.csv line 2: query_id '77' is not in query.csv" in told("wands", folder, tmp_path / "raw")
    replace(folder / "query.csv", "table 0\tTables", "table 0\tTables\tmore")
    assert "query.csv line 2: 4 fields, the header has 3" in told("wands", folder, tmp_path / "raw")
    (folder / "product.csv").unlink()
    assert f"{folder} has no product.csv; WANDS is read" in told("wands", folder, tmp_path / "raw")
    assert "/nowhere: no such folder" in told("wands", "/nowhere", tmp_path / "raw")


def test_esci(tmp_path: Path, told: Callable[..., str]) -> None:
    folder = esci(tmp_path / "esci")
    first, second = sorted(folder.iterdir())
    second.write_bytes(first.read_bytes())
    assert "no column 'product_title'" in told("esci", folder, tmp_path / "raw")
    second.write_bytes(b"PAR1 is how it begins")
    assert f"{second}: cannot be read" in told("esci", folder, tmp_path / "raw")
    assert "argument --locale: invalid choice: 'uk'" in told("esci", "--locale", "uk", folder, tmp_path / "raw")


def test_movielens(tmp_path: Path, told: Callable[..., str]) -> None:
    folder = movielens(tmp_path / "ml")
    replace(folder / "u.data", "\t1\t", "\tone\t")
    assert "u.data line 1: rating is 'one', expected a number" in told("movielens", folder, tmp_path / "raw")
    replace(folder / "u.item", "|0\n", "\n")
    assert "u.item line 1: 23 fields between bars, expected 24" in told("movielens", folder, tmp_path / "raw")
    (folder / "u.item").unlink()
    assert "has u.data but no u.item" in told("movielens", folder, tmp_path / "raw")
    (folder / "u.data").unlink()
    assert "holds neither u.data nor any *.inter" in told("movielens", folder, tmp_path / "raw")
    (folder / "x.inter").write_text("user_id\titem_id\n1\t2\n")
    assert "has x.inter but no x.item" in told("movielens", folder, tmp_path / "raw")
    (folder / "x.item").write_text("item_id:token\n2\n")
    assert "header 'user_id' has no type" in told("movielens", folder, tmp_path / "raw")
    (folder / "x.inter").write_text("user_id:token\titem_id:token\n1\t2\n")
    assert "x.inter line 2: no field 'timestamp'" in told("movielens", folder, tmp_path / "raw")


def test_ubi(tmp_path: Path, told: Callable[..., str]) -> None:
    folder = ubi(tmp_path / "log", "bulk")
    assert "--actions a=b: expected NAME=ACTION" in told("ubi", "--actions", "a=b", folder, tmp_path / "raw")
    (tmp_path / "j.json").write_text("[]")
    wrong = told("ubi", "--judgments", tmp_path / "j.json", folder, tmp_path / "raw")
    assert "j.json: " in wrong
    assert "expected JSON with judgmentRatings" in wrong
    (folder / "ubi_log.ndjson").write_text('{"a": 1}\n')
    assert "no query of UBI in it" in told("ubi", folder, tmp_path / "raw")
    (folder / "ubi_log.ndjson").unlink()
    assert "holds no ubi* file" in told("ubi", folder, tmp_path / "raw")


def test_another_folder_is_not_touched(tmp_path: Path, told: Callable[..., str]) -> None:
    folder, raw = wands(tmp_path / "wands"), tmp_path / "raw"
    raw.mkdir()
    (raw / "thesis.txt").write_text("years of work")
    assert "holds files that are not this command's (thesis.txt)" in told("wands", folder, raw)
    (raw / "thesis.txt").rename(raw / "catalog.jsonl.gz")
    assert "holds catalog.jsonl.gz that this command did not write" in told("wands", folder, raw)
    assert (raw / "catalog.jsonl.gz").read_text() == "years of work"
    assert "is a file; name a folder" in told("wands", folder, raw / "catalog.jsonl.gz")
    assert "cannot be written" in told("wands", folder, "/proc/raw")


def test_missing_words_are_named(told: Callable[..., str]) -> None:
    assert "KIND" in told()
    assert "invalid choice: 'judge'" in told("judge")
    assert "the following arguments are required: --products, --judgments, raw/" in told("judged")
