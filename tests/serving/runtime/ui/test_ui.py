"""The page's searches over HTTP: hits with what is known of them, and reasons that are true."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.command.console import UserError
from serving.release.fresh_items import FRESH_FILE
from serving.runtime.grpc_server import ModelServer
from serving.runtime.rest import RestServer, RestSettings
from serving.runtime.server_flags import arguments
from serving.runtime.settings import check_paths
from serving.runtime.ui.files import read_catalogue, read_judgments, read_users
from serving.runtime.ui.reasons import Words
from serving.runtime.ui.routes import Ui
from tests.serving.runtime.conftest import Serve
from tests.serving.runtime.http import Http
from tests.serving.runtime.serving_stubs import Stubs, retrieve_inputs
from tests.serving.runtime.small_model import write_version
from tests.serving.runtime.ui.page import JUDGED, USERS, title_of, write_files

PARTS = Path(__file__).parents[4] / "serving" / "runtime" / "ui" / "page"


def with_page(server: ModelServer, folder: Path) -> RestServer:
    """A REST port with the page."""
    catalogue, users, judgments = map(str, write_files(folder))
    ui = Ui(server, read_catalogue(catalogue), read_users(users), 30, read_judgments(judgments))
    rest = RestServer(server, RestSettings(), ui.routes())
    rest.start()
    return rest


@pytest.fixture(scope="module")
def http(server: ModelServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Http]:
    rest = with_page(server, tmp_path_factory.mktemp("page"))
    yield Http(rest.port)
    rest.stop()


def search(http: Http, **body: Any) -> dict[str, Any]:
    status, answer = http.post("/ui/search", {"query": "red thing", "model": "retrieval"} | body)
    assert status == 200, answer
    return answer


def test_the_page_is_whole(http: Http) -> None:
    page = http.text("/ui")
    for part in PARTS.iterdir():
        if part.suffix != ".html":
            assert part.read_text(encoding="utf-8") in page, part.name
    assert not re.search(r"""https?:|src=|@import|url\(|href="(?!data:)""", page)


def test_choices(http: Http) -> None:
    status, choices = http.get("/ui/choices")
    assert (status, choices["users"], choices["all_users"], choices["items"]) == (200, ["ann", "bob"], 2, 299)
    assert choices["models"] == [{"model": "retrieval", "versions": [1]}] and choices["judged"] == len(JUDGED)


def test_hits_are_those_of_retrieve(http: Http, stubs: Stubs) -> None:
    answer = search(http, user="ann", k=50)
    found = stubs.predict("retrieve", **retrieve_inputs(["red thing"], 50, **{n: [v] for n, v in USERS["ann"].items()}))
    assert [hit["item_id"].encode() for hit in answer["hits"]] == found["item_ids"][0].tolist()
    np.testing.assert_allclose([hit["score"] for hit in answer["hits"]], found["scores"][0], rtol=1e-6)
    assert [hit["channels"] for hit in answer["hits"]] == found["channels"][0].tolist()
    assert {hit["channels"] for hit in answer["hits"]} == {1, 2, 3}
    for hit in answer["hits"]:
        number = int(hit["item_id"].removeprefix("item"))
        if number < 299:
            assert (hit["title"], hit["brand"], hit["category_top"]) == (title_of(number), "acme", "things")
            assert hit["terms"] == (["red", "thing"] if number % 3 == 0 else ["thing"])
    assert answer["past"] == {"realtime_items": [title_of(7), title_of(8)], "long_click_items": [title_of(3)]}
    assert answer["lists"] == {name: USERS["ann"][name] for name in ("realtime_items", "long_click_items")}
    assert answer["retrieve_ms"] > 0


def test_a_past_written_by_hand_is_the_same_as_the_users(http: Http) -> None:
    past = {"long_order_items": ["item30", "item31"], "history_queries": ["green things"]}
    assert search(http, past=past)["hits"] == search(http, user="bob")["hits"]
    status, answer = http.post("/ui/search", {"query": "x", "model": "retrieval", "past": {"seen": ["item1"]}})
    assert status == 400 and "past: an object of lists named history_queries" in answer["error"]


def test_neighbours_of_an_item(http: Http, stubs: Stubs) -> None:
    answer = search(http, item="item7", k=5, allowed_brands=["item3", "item4", "item7"][:2])
    assert {hit["item_id"] for hit in answer["hits"]} == {"item3", "item4"} and answer["known"]
    assert all(hit["channels"] == 1 and hit["terms"] == [] for hit in answer["hits"]) and answer["horizons"] == []
    nobody = search(http, item="nobody", user="ann")
    assert not nobody["known"] and nobody["hits"] == [] and nobody["past"] == {}


def test_judged_queries(http: Http, stubs: Stubs) -> None:
    """Each query's figures by its own answer, worked out by hand; and the grades on the items of a search."""
    status, answer = http.post("/ui/judged", {"model": "retrieval"})
    assert (status, answer["version"], [row["query"] for row in answer["queries"]]) == (200, 1, list(JUDGED))
    for row in answer["queries"]:
        found = stubs.predict("retrieve", **retrieve_inputs([row["query"]], 10))["item_ids"][0].tolist()
        grades = [JUDGED[row["query"]].get(one.decode(), 0) for one in found]
        assert row["precision"] == sum(grade >= 2 for grade in grades) / 10
        gains = [(2**grade - 1) / np.log2(place + 2) for place, grade in enumerate(grades)]
        best = [
            (2**grade - 1) / np.log2(n + 2) for n, grade in enumerate(sorted(JUDGED[row["query"]].values())[::-1][:10])
        ]
        assert row["ndcg"] == pytest.approx(sum(gains) / sum(best))
    assert any(0 < row["ndcg"] < 1 for row in answer["queries"])
    for name in ("precision", "ndcg"):
        assert answer["mean"][name] == pytest.approx(np.mean([row[name] for row in answer["queries"]]))
    query = next(iter(JUDGED))
    for hit in search(http, query=query)["hits"]:
        assert hit.get("grade") == JUDGED[query].get(hit["item_id"])
    assert http.post("/ui/judged", {"model": "other"})[0] == 404
    assert http.post("/ui/judged", {"model": "retrieval", "k": 3})[0] == 400


def test_a_horizon_adds_what_the_score_loses_without_it(http: Http, stubs: Stubs) -> None:
    answer = search(http, user="ann", k=50)
    assert answer["horizons"] == ["today", "long-term"]
    without = {"today": {"long_click_items": [["item3"]]}, "long-term": {"realtime_items": [["item7", "item8"]]}}
    for horizon, lists in without.items():
        found = stubs.predict("retrieve", **retrieve_inputs(["red thing"], 50, **lists))
        scores = dict(zip(found["item_ids"][0].tolist(), found["scores"][0], strict=True))
        compared = 0
        for hit in answer["hits"]:
            if hit["item_id"].encode() in scores and "changes" in hit:
                compared += 1
                lost = hit["score"] - scores[hit["item_id"].encode()]
                assert hit["changes"][horizon] == pytest.approx(lost, abs=1e-5)
        assert compared > 10


def test_nobody_in_particular_has_no_horizons(http: Http) -> None:
    answer = search(http, k=5)
    assert (answer["horizons"], answer["past"], answer["lists"]) == ([], {}, {})
    assert not any("changes" in hit for hit in answer["hits"])


def test_no_item_meets_the_terms(http: Http) -> None:
    assert search(http, required_terms=["nothing"])["hits"] == []
    assert [hit["item_id"] for hit in search(http, required_terms=["item9"])["hits"]] == ["item9"]


def test_brands_prices_and_what_is_not_wanted(http: Http) -> None:
    """In the small model an item's brand is its id, and its price its row."""
    ids = [hit["item_id"] for hit in search(http, k=6)["hits"]]
    assert [hit["item_id"] for hit in search(http, k=3, excluded_items=ids[:3])["hits"]] == ids[3:]
    assert [hit["item_id"] for hit in search(http, allowed_brands=["item9"])["hits"]] == ["item9"]
    found = search(http, price_range=[7, 8.5])["hits"]
    assert {hit["item_id"] for hit in found} == {"item7", "item8"}
    assert {hit["item_id"] for hit in search(http, price_range=[None, 0])["hits"]} == {"item0"}


def test_an_item_that_the_catalogue_lacks(http: Http) -> None:
    (hit,) = search(http, user="bob", required_terms=["item299"])["hits"]
    assert (hit["title"], hit["terms"], hit["fresh"]) == ("", [], False)
    assert "changes" not in hit


@pytest.mark.parametrize("query", ["", "x" * 100_000, "连衣裙 " * 2_000, "\x00\u2028<script>"])
def test_any_query(http: Http, query: str) -> None:
    assert len(search(http, query=query, user="bob")["hits"]) == 10


@pytest.mark.parametrize(
    "change, status, words",
    [
        ({"user": "carl"}, 404, "user carl is not in the file"),
        ({"model": "other"}, 404, "Servable not found"),
        ({"version": 9}, 404, "Specific(retrieval, 9)"),
        ({"required_terms": ["a", "b", "c"]}, 400, "required_terms: 3 given, this model takes 2"),
        ({"k": 0}, 400, "k: Input should be greater than or equal to 1"),
        ({"query": None}, 400, "query: Input should be a valid string"),
        ({"more": 1}, 400, "more: Extra inputs"),
    ],
)
def test_refusals(http: Http, change: dict[str, Any], status: int, words: str) -> None:
    found, answer = http.post("/ui/search", {"query": "red", "model": "retrieval"} | change)
    assert found == status
    assert words in answer["error"]


def test_a_search_is_short(http: Http) -> None:
    assert http.post("/ui/search", {"query": "red " * 300_000, "model": "retrieval"})[0] == 413


def test_fresh_items_and_two_versions(tmp_path: Path, serve: Serve) -> None:
    base = tmp_path / "retrieval"
    base.mkdir()
    path = write_version(base, 3)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / FRESH_FILE).write_text(" \nitem9\n")
    server = serve(base)
    rest = with_page(server, tmp_path)
    try:
        http = Http(rest.port)
        hits = search(http, required_terms=["item9"], version=3)["hits"]
        assert [hit["fresh"] for hit in hits] == [True]
        assert [hit["fresh"] for hit in search(http, required_terms=["item8"])["hits"]] == [False]
    finally:
        rest.stop()


def test_words_are_the_analysers() -> None:
    words = Words()
    assert words.of(["Ｒed-Shoes 连衣裙", ""]) == [["red", "shoes", "连", "衣", "裙"], []]
    assert words.shared("Red dress red", ["DRESS, red", "reddish"]) == [["red", "dress"], []]


@pytest.mark.parametrize(
    "lines, words",
    [
        (b'{"item_id": "a"}\nnonsense', "line 2: not an object in JSON"),
        (b"[1]", "line 1: not an object in JSON"),
        (b'\n{"title": "a"}', "line 2: no item_id"),
    ],
)
def test_mistakes_in_a_catalogue(tmp_path: Path, lines: bytes, words: str) -> None:
    (tmp_path / "c.jsonl").write_bytes(lines)
    with pytest.raises(UserError, match=words):
        read_catalogue(str(tmp_path / "c.jsonl"))


@pytest.mark.parametrize("line", [{"query": "a", "item_id": "b"}, {"query": 1, "item_id": "b", "grade": 2}])
def test_mistakes_in_judgments(tmp_path: Path, line: dict[str, Any]) -> None:
    (tmp_path / "j.jsonl").write_text(json.dumps({"query": "a", "item_id": "b", "grade": 1}) + "\n" + json.dumps(line))
    with pytest.raises(UserError, match="line 2: each line has query, item_id and a grade"):
        read_judgments(str(tmp_path / "j.jsonl"))


def test_judgments_of_one_user_are_not_everybodys(tmp_path: Path) -> None:
    lines = [{"query": "a", "item_id": "b", "grade": 1}, {"query": "a", "item_id": "c", "grade": 3, "user_id": "ann"}]
    (tmp_path / "j.jsonl").write_text("\n".join(map(json.dumps, lines)))
    assert read_judgments(str(tmp_path / "j.jsonl")) == {"a": {"b": 1.0}}


@pytest.mark.parametrize(
    "line, words",
    [
        ({"realtime_items": []}, "line 1: no user_id"),
        ({"user_id": "a", "realtime": []}, "line 1: an object of lists named history_queries"),
        ({"user_id": "a", "short_items": [1]}, "line 1: short_items must be a list of strings"),
    ],
)
def test_mistakes_in_the_users(tmp_path: Path, line: dict[str, Any], words: str) -> None:
    (tmp_path / "u.jsonl").write_text(json.dumps(line))
    with pytest.raises(UserError, match=words):
        read_users(str(tmp_path / "u.jsonl"))


def test_files_packed_or_missing(tmp_path: Path) -> None:
    with gzip.open(tmp_path / "c.jsonl.gz", "wt") as file:
        file.write('{"item_id": "a", "title": "A"}\n')
    assert read_catalogue(str(tmp_path / "c.jsonl.gz")).title("a") == "A"
    with pytest.raises(UserError, match=r"--ui_users .*nowhere cannot be read"):
        read_users(str(tmp_path / "nowhere"))
    (tmp_path / "cut.gz").write_bytes((tmp_path / "c.jsonl.gz").read_bytes()[:-9])
    with pytest.raises(UserError, match="cannot be read"):
        read_catalogue(str(tmp_path / "cut.gz"))


@pytest.mark.parametrize(
    "flags, words",
    [(["--ui"], "give --rest_api_port"), (["--ui-users", "u"], "give --ui as well")],
)
def test_flags_that_miss_another(models: Path, flags: list[str], words: str) -> None:
    with pytest.raises(UserError, match=words):
        check_paths(arguments(["--model-base-path", str(models), *flags]))
