"""Any catalogue and any judgments: the split by query, stages, pages, grades, and what the pipeline makes of them."""

from __future__ import annotations

import collections
from pathlib import Path

import pytest

from preprocessing.adapters.graded import Split, pages
from preprocessing.config import SplitConfig
from preprocessing.joins.split import eval_cut
from tests.preprocessing.adapters.adapting import Record, adapt, ids, market, process, query, read, write_lines

CHORUS = market.ROOT.parent / "shared" / "data" / "chorus"
FLAGS = ("--stages", "ordered>=3,clicked>=2.33", "--test-share", "0.2")


def products(count: int = 60) -> list[Record]:
    return [{"item_id": f"p{number}", "title": f"oak table number {number}"} for number in range(count)]


def judgments(queries: int = 20) -> list[Record]:
    """Query n has items n to n + 20, labels 3, 3, 2.5, 2, 1, 0, 0, 0 ... in turn."""
    labels = (3, 3, 2.5, 2, 1, 0, 0, 0)
    return [
        {"query": f"table {number}", "item_id": f"p{number + place}", "label": labels[place % len(labels)]}
        for number in range(queries)
        for place in range(20)
    ]


def written(folder: Path, of_products: list[Record], of_judgments: list[Record]) -> list[object]:
    paths = write_lines(folder / "p.jsonl", of_products), write_lines(folder / "j.jsonl", of_judgments)
    return ["judged", "--products", paths[0], "--judgments", paths[1], *FLAGS]


def test_training_queries_are_learned_from_and_test_queries_measured(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    counts = adapt(*written(tmp_path, products(), judgments()), raw)
    assert [counts[f"{name} queries"] for name in ("train", "validation", "test")] == [14, 2, 4]
    assert [counts[f"{name} requests"] for name in ("train", "validation", "test")] == [28, 2, 4]
    assert (counts["train ordered"], counts["train clicked"], counts["train shown"]) == (14 * 6, 14 * 3, 14 * 11)
    data = process(raw, "judged.yaml")
    tested = {query(one) for one in data.test}
    assert tested == {one["query"] for one in read(raw / "judgments.jsonl.gz")}
    assert len(tested) == 4
    assert {query(one) for one in data.train + data.validation} == {one["query"] for one in judgments()} - tested
    validated = {query(one) for one in data.validation}
    assert validated == {one["query"] for one in read(raw / "judgments-validation.jsonl.gz")}
    assert len(data.validation) == len(validated) == 2
    assert not validated & {query(one) for one in data.train}
    for number, example in [(int(query(one).split()[1]), one) for one in data.validation + data.test]:
        assert ids(example, "ordered") == sorted(f"p{number + place}" for place in (0, 1, 8, 9, 16, 17))
        assert set(ids(example, "clicked")) == {f"p{number + place}" for place in (2, 10, 18)}
        assert len(ids(example, "shown")) == 11
    assert not any(one.get(f"{name}_item") for one in data.train + data.test for name in ("realtime", "short"))
    assert not any(one.get("history_word") for one in data.train)


@pytest.mark.parametrize(
    "rule", [{"eval_days": 1}, {"eval_days": 3}, {"eval_days": 30}, *({"eval_share": n / 10} for n in range(1, 10))]
)
def test_any_rule_of_time_cuts_between_the_queries(tmp_path: Path, rule: dict[str, float]) -> None:
    raw = tmp_path / "raw"
    adapt(*written(tmp_path, products(), judgments()), raw)
    searches = read(raw / "searches.jsonl.gz")
    times = [one["ts"] for one in searches]
    cut = eval_cut(min(times), max(times), SplitConfig(**{"eval_days": None, **rule}), 0)
    assert {one["query"] for one in searches if one["ts"] >= cut} == {
        one["query"] for one in read(raw / "judgments.jsonl.gz")
    }


def test_all_that_may_be_missing_is(tmp_path: Path) -> None:
    full = {"brand": "b", "shop": "s", "categories": ["Home", "Tables", "Oak"], "description": "Very solid."}
    of_products = [
        *products(30),
        {"item_id": 7001, "title": "a lamp", **full, "price": 3},
        {"item_id": "path", "title": "a", "category": "Home > Lamps"},
        {"item_id": "bare"},
        {"item_id": "p1", "title": "again"},
    ]
    of_judgments = [
        *judgments(10),
        {"query": "table 1", "item_id": "nowhere", "label": 3},
        {"query": "lamp", "item_id": 7001, "label": 3},
        {"query": "lamp", "item_id": "7001", "label": 2},
        {"query": " ", "item_id": "p1", "label": 2},
    ]
    counts = adapt(*written(tmp_path, of_products, of_judgments), "--description", 4, tmp_path / "raw")
    catalog = {one["item_id"]: one for one in read(tmp_path / "raw" / "catalog.jsonl.gz")}
    assert len(catalog) == counts["products"] == 33
    lamp = {"title": "a lamp Very", "brand": "b", "shop": "s", "category_top": "Home", "category_leaf": "Oak"}
    assert catalog["7001"] == {"item_id": "7001", **lamp, "description": "Very solid.", "price": 3.0}
    assert (catalog["path"]["category_top"], catalog["path"]["category_leaf"]) == ("Home", "Lamps")
    assert catalog["bare"]["title"] == ""
    left_out = {name: number for name, number in counts.items() if name.startswith(("left out", "products without"))}
    assert left_out == {
        "left out: a product's line again": 1,
        "products without a title": 1,
        "left out: judgments of items that are not in the catalogue": 1,
        "left out: judgments of an empty query": 1,
    }
    both = [
        one for name in ("", "-train", "-validation") for one in read(tmp_path / "raw" / f"judgments{name}.jsonl.gz")
    ]
    assert [one["label"] for one in both if one["query"] == "lamp"] == [2.5]
    stats = process(tmp_path / "raw", "judged.yaml").stats
    assert stats["streams"]["catalog"]["used"] == 33


def test_other_columns_and_files_and_labels(tmp_path: Path) -> None:
    (tmp_path / "p.csv").write_text("sku,name\n" + "".join(f'p{n},"oak, {n}"\n' for n in range(60)), "utf-8")
    rows = [f"{one['query']}\t{one['item_id']}\t{'good' if one['label'] >= 3 else 'bad'}" for one in judgments()]
    (tmp_path / "j.tsv").write_text("q\tdoc\tverdict\n" + "\n".join(rows), "utf-8")
    files = ("--products", tmp_path / "p.csv", "--judgments", tmp_path / "j.tsv")
    columns = ("--product-columns", "item_id=sku,title=name")
    columns += ("--judgment-columns", "query=q,item_id=doc,label=verdict")
    labels = ("--labels", "good=100,bad=0", "--stages", "clicked>=100", "--grades", "3>=100")
    counts = adapt("judged", *files, *columns, *labels, tmp_path / "raw")
    assert sum(counts[f"{name} clicked"] for name in ("train", "validation", "test")) == 20 * 6
    assert read(tmp_path / "raw" / "catalog.jsonl.gz")[5]["title"] == "oak, 5"
    grades = collections.Counter(one["grade"] for one in read(tmp_path / "raw" / "judgments.jsonl.gz"))
    assert grades == {3.0: 4 * 6, 0.0: 4 * 14}


def test_folds_cover_every_query_once_and_case_does_not_part() -> None:
    queries = [f"q{number}" for number in range(23)] + ["Q7"]
    folds = [Split(0.2, fold, 17).test(queries) for fold in range(5)]
    assert sorted(one for fold in folds for one in fold) == sorted(queries)
    assert all(("q7" in fold) == ("Q7" in fold) for fold in folds)
    assert Split(0.2, 0, 18).test(queries) != folds[0]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5])
def test_what_is_validated_by_is_cut_from_the_training_queries(share: float) -> None:
    queries = [f"q{number}" for number in range(23)] + ["Q7"]
    split = Split(0.2, 1, 17, share)
    found = split.validation(queries)
    assert found == split.validation(queries[::-1]) and found < set(queries)
    assert len({one.casefold() for one in found}) == max(round(23 * share), 1)
    assert ("q7" in found) == ("Q7" in found)
    assert split._replace(fold=2).validation(queries) != found


def test_each_positive_is_on_one_page_and_negatives_fill_them() -> None:
    stages = {"ordered": [f"o{n}" for n in range(12)], "clicked": ["c"], "shown": ["s0", "s1", "s2"]}
    found = list(pages(stages))
    assert len(found) == 3
    assert sorted(item for page in found for item in page["ordered"]) == sorted(stages["ordered"])
    assert max(len(page["ordered"]) for page in found) <= 5
    assert sum(len(page["clicked"]) for page in found) == 1
    assert all(sorted(page["shown"]) == stages["shown"] for page in found)
    many = list(pages({**stages, "shown": [f"s{n}" for n in range(100)]}))
    assert {item for page in many for item in page["shown"]} == {f"s{n}" for n in range(100)}
    assert list(pages({"ordered": [], "clicked": [], "shown": []})) == [{"ordered": [], "clicked": [], "shown": []}]


def test_the_same_input_gives_the_same_bytes_and_replaces_what_was_there(tmp_path: Path) -> None:
    argv = written(tmp_path, products(), judgments())
    adapt(*argv, tmp_path / "a")
    adapt(*argv, "--fold", 1, tmp_path / "b")
    adapt(*argv, tmp_path / "b")
    assert market.content(tmp_path / "a") == market.content(tmp_path / "b")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b", "j.jsonl", "p.jsonl"]


def test_a_real_catalogue_rated_by_people(tmp_path: Path) -> None:
    if not CHORUS.exists():
        pytest.skip(f"{CHORUS} is not there")
    files = ("--products", CHORUS / "catalog.jsonl.gz", "--judgments", CHORUS / "judgments.jsonl")
    counts = adapt("judged", *files, *FLAGS, tmp_path / "raw")
    assert (counts["products"], counts["judgments"]) == (19_406, 3_668)
    names = ("train", "validation", "test")
    assert [counts[f"{name} queries"] for name in names] == [98, 10, 27]
    assert sum(counts[f"{name} ordered"] for name in names) == 1_472
    assert sum(counts[f"{name} judgments"] for name in names) == 3_668
