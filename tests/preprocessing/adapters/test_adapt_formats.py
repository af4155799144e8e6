"""Samples in the very form that each data set is published in, through the adapter and the pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from tests.preprocessing.adapters.adapting import adapt, ids, market, process, query, read

SHARED = market.ROOT.parent / "shared" / "data"
LABELS = ("E", "E", "S", "C", "I")


def esci(folder: Path) -> Path:
    """Ten queries of two locales; the last two of each are for testing. Half of them are hard enough for task 1."""
    examples: list[dict[str, Any]] = []
    products: list[dict[str, Any]] = []
    for locale in ("us", "es"):
        for number in range(10):
            for place in range(5):
                product_id = f"B0{number}{place}"
                examples.append(
                    {
                        "example_id": len(examples),
                        "query": f"# {locale} table {number}",
                        "query_id": number,
                        "product_id": product_id,
                        "product_locale": locale,
                        "esci_label": LABELS[place],
                        "small_version": number % 2,
                        "large_version": 1,
                        "split": "test" if number >= 8 else "train",
                    }
                )
                products.append(
                    {
                        "product_id": product_id,
                        "product_title": f"{locale} table {number} {place}",
                        "product_description": None,
                        "product_bullet_point": "Solid oak.\nFour legs." if place else None,
                        "product_brand": "Oakley" if place else None,
                        "product_color": None,
                        "product_locale": locale,
                    }
                )
    folder.mkdir()
    for name, records in (("examples", examples), ("products", products)):
        table = pyarrow.Table.from_pylist(records)
        pyarrow.parquet.write_table(table, folder / f"shopping_queries_dataset_{name}.parquet")
    return folder


def test_esci_keeps_the_published_split(tmp_path: Path) -> None:
    counts = adapt("esci", esci(tmp_path / "esci"), tmp_path / "raw")
    assert (counts["products"], counts["train queries"], counts["test queries"]) == (50, 7, 2)
    grades = [(one["query"], one["item_id"], one["grade"]) for one in read(tmp_path / "raw" / "judgments.jsonl.gz")]
    expected = [("# us table 8", f"B08{n}", grade) for n, grade in enumerate((3.0, 3.0, 2.0, 1.0, 0.0))]
    assert sorted(grades, key=lambda one: one[:2])[:5] == expected
    data = process(tmp_path / "raw", "judged.yaml")
    assert data.stats["examples"] == {"train": 7, "validation": 1, "eval": 2}
    last = next(one for one in data.test if query(one) == "# us table 9")
    assert [ids(last, stage) for stage in ("ordered", "clicked", "shown")] == [
        ["B090", "B091"],
        ["B092"],
        ["B093", "B094"],
    ]


def test_esci_small_version_and_descriptions(tmp_path: Path) -> None:
    folder = esci(tmp_path / "esci")
    flags = ("--locale", "es", "--version", "small", "--description", "10")
    counts = adapt("esci", *flags, folder, tmp_path / "raw")
    assert (counts["train queries"], counts["test queries"]) == (3, 1)
    titles = [one["title"] for one in read(tmp_path / "raw" / "catalog.jsonl.gz")]
    assert titles[:2] == ["es table 0 0", "es table 0 1 Solid oak."]


def wands(folder: Path) -> Path:
    """Ten queries over fifty products; a quoted query, a missing class, a description with a line break."""
    folder.mkdir()
    queries = [f"{number}\toak table {number}\tTables" for number in range(9)] + ['9\t"fawkes 36"" vanity"\t']
    (folder / "query.csv").write_text("query_id\tquery\tquery_class\n" + "\n".join(queries) + "\n", "utf-8")
    columns = (
        "product_id product_name product_class|category hierarchy|product_description|product_features|rating_count"
    )
    header = columns.replace(" product", "\tproduct").replace("|", "\t") + "\taverage_rating\treview_count\n"
    products = [
        f"{n}\ttable {n}\tTables\tFurniture / Living Room Furniture / Tables\t"
        f'"solid\nand ""square"""\tcolor:oak|legs:4\t15.0\t4.5\t15.0'
        for n in range(49)
    ] + ["49\ta table of no class\t\t\t\t\t\t\t"]
    (folder / "product.csv").write_text(header + "\n".join(products) + "\n", "utf-8")
    names = ("Exact", "Partial", "Partial", "Irrelevant", "Irrelevant")
    labels = [f"{n}\t{n // 5}\t{n}\t{names[n % 5]}" for n in range(50)]
    (folder / "label.csv").write_text("id\tquery_id\tproduct_id\tlabel\n" + "\n".join(labels) + "\n", "utf-8")
    return folder


def test_wands(tmp_path: Path) -> None:
    counts = adapt("wands", wands(tmp_path / "wands"), "--description", "5", tmp_path / "raw")
    assert (counts["products"], counts["train queries"], counts["test queries"]) == (50, 7, 2)
    assert (counts["test ordered"], counts["test clicked"], counts["test shown"]) == (2, 4, 4)
    catalog = read(tmp_path / "raw" / "catalog.jsonl.gz")
    categories = {"category_top": "Furniture", "category_leaf": "Tables"}
    own = {"item_id": "3", "title": "table 3 solid", "brand": "", "shop": "", "description": 'solid and "square"'}
    assert catalog[3] == {**own, **categories}
    assert catalog[49]["category_leaf"] == ""
    asked = {one["query"] for one in read(tmp_path / "raw" / "searches.jsonl.gz")}
    assert 'fawkes 36" vanity' in asked
    assert process(tmp_path / "raw", "judged.yaml").stats["examples"] == {"train": 7, "validation": 1, "eval": 2}


def movielens(folder: Path) -> Path:
    """u.data and u.item of twelve people and twenty films, one of them with an accent."""
    folder.mkdir()
    films = [f"{n}|Film {n} (1995)|01-Jan-1995||http://us.imdb.com/M|" for n in range(1, 20)]
    films.append("20|Misérables, Les (1995)|01-Jan-1995||http://us.imdb.com/M|")
    flags = "|".join("1" if genre in (3, 5) else "0" for genre in range(19))
    (folder / "u.item").write_bytes("".join(f"{film}{flags}\n" for film in films).encode("latin-1"))
    ratings = [
        f"{user}\t{1 + (user + place) % 20}\t{1 + place % 5}\t{881_250_949 + user * 86_400 + place * 60}\n"
        for place in range(10)
        for user in range(1, 13)
    ]
    (folder / "u.data").write_text("".join(ratings))
    return folder


def test_movielens_ratings_at_random(tmp_path: Path) -> None:
    counts = adapt("movielens", "--split", "random", movielens(tmp_path / "ml"), tmp_path / "raw")
    assert (counts["products"], counts["users"], counts["ratings clicked"], counts["test ratings"]) == (20, 12, 120, 24)
    film = read(tmp_path / "raw" / "catalog.jsonl.gz")[-1]
    assert (film["title"], film["category_top"]) == ("Misérables, Les (1995)", "Animation")
    assert film["category_leaf"] == "Animation Comedy"
    data = process(tmp_path / "raw", "movielens.yaml")
    assert data.stats["examples"] == {"train": 84, "validation": 12, "eval": 24}
    known: dict[bytes, int] = {}
    for one in data.train + data.validation:
        known[one["user_id"][0]] = known.get(one["user_id"][0], 0) + 1
    # What is tested stands before all that its user did in training, and nothing else.
    assert all(len(one["realtime_item"]) == known[one["user_id"][0]] for one in data.test)
    assert {query(one) for one in (*data.train, *data.test)} == {""}
    assert not any(one.get("history_word_length") for one in data.test)


def test_recbole_atomic_files_in_their_own_time(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    folder.mkdir()
    items = [f"{n}\tToy Story {n}\t1995\tAnimation Children's Comedy" for n in range(30)]
    head = "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    (folder / "toy.item").write_text(head + "\n".join(items))
    behaviours = [f"{n % 7}\t{n % 30}\t{1 + n % 5}\t{881_250_949 + 1_000 * n}" for n in range(100)]
    head = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    (folder / "toy.inter").write_text(head + "\n".join(behaviours))
    counts = adapt("movielens", "--stages", "ordered>=5,clicked>=3", folder, tmp_path / "raw")
    assert [counts[f"ratings {stage}"] for stage in ("ordered", "clicked", "shown")] == [20, 40, 40]
    data = process(tmp_path / "raw", "movielens.yaml", "preprocessing.split.eval_share=0.2")
    assert data.stats["examples"]["eval"] == 12
    assert data.stats["streams"]["searches"]["excluded"] == {"no positive": 40}


def ubi(folder: Path, dialect: str) -> Path:
    """Forty searches with a page of three, a click on its second item and a purchase now and then."""
    folder.mkdir()
    lines: list[str] = []
    for number in range(40):
        ids = {
            "query_id": f"q{number}",
            "client_id": f"c{number % 5}",
            "timestamp": 1_717_527_761_000 + number * 60_000,
        }
        page = [f"ean{(number + place) % 12}" for place in range(3)]
        asked = {**ids, "user_query": f"bag {number % 9}", "query_response_object_ids": page}
        documents: list[tuple[str, dict[str, Any]]] = [("ubi_queries", asked)]
        for name in ["item_click", "user_feedback", *(["purchase"] if number % 4 == 0 else [])]:
            number_of_item = (number + 1) % 12
            found = {"object_id": f"ean{number_of_item}", "internal_id": str(number_of_item)}
            if number_of_item:
                found["description"] = f"Gadget bag {number_of_item}"
            event = {**ids, "action_name": name, "event_attributes": {"object": found}}
            documents.append(("ubi_events", event))
        lines += [_in_dialect(dialect, index, document) for index, document in documents]
    (folder / "ubi_log.ndjson").write_text("\n".join(lines) + "\n")
    return folder


def _in_dialect(dialect: str, index: str, document: dict[str, Any]) -> str:
    if dialect == "bulk":
        return json.dumps({"index": {"_index": index}}) + "\n" + json.dumps(document)
    if dialect == "hits":
        return json.dumps({"_index": index, "_id": "x", "_source": document})
    return f"{index}\t{json.dumps(document)}"


@pytest.mark.parametrize("dialect", ["bulk", "hits", "tab"])
def test_ubi_in_each_dialect(tmp_path: Path, dialect: str) -> None:
    internal = ("--item-id", "event_attributes.object.internal_id")
    counts = adapt("ubi", *internal, ubi(tmp_path / "log", dialect), tmp_path / "raw")
    assert counts == {
        "searches": 40,
        "left out: other event": 40,
        "products": 12,
        "products without a title": 1,
        "actions click": 40,
        "actions order": 10,
    }
    # Pages name the other id; events carry both.
    assert read(tmp_path / "raw" / "searches.jsonl.gz")[0]["results"] == ["0", "1", "2"]
    if dialect == "bulk":
        data = process(tmp_path / "raw", "demo.yaml", "preprocessing.split={eval_days: null, eval_share: 0.2}")
        assert data.stats["examples"] == {"train": 29, "validation": 3, "eval": 8}
        assert sum(bool(ids(one, "ordered")) for one in (*data.train, *data.validation, *data.test)) == 10


def test_ubi_beside_a_catalogue_and_judgments(tmp_path: Path) -> None:
    (tmp_path / "p.jsonl").write_text("".join(f'{{"item_id": "ean{n}", "title": "bag"}}\n' for n in range(6)))
    ratings = [{"docId": f"ean{n}", "rating": "100.000" if n else "1.0"} for n in range(8)]
    document = {"judgmentRatings": [{"query": "bag 1", "ratings": ratings}]}
    (tmp_path / "j.json").write_text(json.dumps(document))
    flags = ("--products", tmp_path / "p.jsonl", "--judgments", tmp_path / "j.json", "--grades", "3>=100,1>=1")
    counts = adapt("ubi", *flags, ubi(tmp_path / "log", "bulk"), tmp_path / "raw")
    assert counts["left out: actions on items that are not in the catalogue"] > 0
    assert counts["left out: judgments of items that are not in the catalogue"] == 2
    assert {one["item_id"] for one in read(tmp_path / "raw" / "actions.jsonl.gz")} <= {f"ean{n}" for n in range(6)}
    assert [one["grade"] for one in read(tmp_path / "raw" / "judgments.jsonl.gz")] == [1.0] + [3.0] * 5


def test_ubi_impressions_make_the_page(tmp_path: Path) -> None:
    raw = tmp_path / "raw"
    if not (SHARED / "ubi").exists():
        pytest.skip(f"{SHARED / 'ubi'} is not there")
    grades = ("--judgments", SHARED / "ubi" / "esci_us_judgments.json", "--grades", "3>=100,2>=10,1>=1")
    counts = adapt("ubi", *grades, SHARED / "ubi", raw)
    assert (counts["searches"], counts["impressions"], counts["actions order"]) == (467, 1_999, 6)
    assert any(len(one["results"]) > 3 for one in read(raw / "searches.jsonl.gz"))
