"""Both channels of a catalogue in shards: whatever is asked, the answer is that of one model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preprocessing.words.channel_fusion import Fusion
from serving.config import ServingConfig
from serving.export import export
from serving.graph.saved_model import ServedModel
from serving.release import build_model
from serving.release.channel_weights import VECTORS_ALONE, Weighed
from serving.retriever.fuse_lists import Listed, Rule, fuse, merged
from serving.sharding import deal_items, weigh_shards
from tests.serving.conftest import Client
from tests.serving.market import Shelf, deal_out, shelf

WEIGHED = Weighed(VECTORS_ALONE._replace(fusion=Fusion("scores", ((0.4, 0.6),))), None)


@pytest.fixture(scope="module")
def folders(
    job: str, data: str, config: Callable[..., ServingConfig], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """One model and three shards of the same catalogue, with fresh items and tombstones.

    The shards come from files of a few items, read in blocks of a few.
    """
    place, items = tmp_path_factory.mktemp("channels"), shelf(data)
    pieces = str(deal_out(data, place / "data", files=3))
    settings = config("index=brute_force", "channels.words.on=true", "gate.max_regression=1")
    fresh, gone = place / "new.jsonl", place / "gone.txt"
    titles = [items.titles[number].decode() for number in range(6)]
    lines = [{"item_id": f"NEW{number}", "title": f"{title} zzq"} for number, title in enumerate(titles)]
    fresh.write_text("\n".join(map(json.dumps, lines)))
    gone.write_text("\n".join(one.decode() for one in items.ids[10:14]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build_model.Builder, "weighed", lambda *_: WEIGHED)
        patch.setattr(weigh_shards, "_weighed", lambda _: (WEIGHED.chosen, np.zeros(0, np.int64)))
        patch.setattr(deal_items, "_BATCH", 16)
        patch.setattr(deal_items, "_BLOCK", 32)
        for name, shards in (("one", None), ("shards", 3)):
            assert export(settings, job, data if shards is None else pieces, str(place / name), shards=shards) == 0
            assert export(settings, None, data, str(place / name), str(fresh), str(gone)) == 0
    return place / "one", place / "shards"


class Shards:
    """What a client of shards does, without servers."""

    def __init__(self, folder: Path) -> None:
        listed = json.loads((folder / "shards.json").read_text())
        places, version = (listed["query"], *listed["shards"]), str(listed["version"])
        self.query, *self.models = (ServedModel(str(folder / one["name"] / version), False) for one in places)
        self.rule = Rule.read(listed["fusion"])

    def retrieve(self, one: Client, request: dict[str, Any]) -> list[tuple[str, float, int]]:
        """The hits of one request."""
        k, depth = request["k"], max(request["k"], self.rule.depth)
        inputs = {"query": np.array([request["query"].encode()], object), "k": np.array([depth], np.int32)}
        lists = one.lists(tuple(self.query.signatures["embed_query"].inputs.keys() - {"query"}), [request])
        vector = self.query.call("embed_query", {"query": inputs["query"]} | lists)
        inputs |= vector | one.conditions(request)
        found = [model.call("search_channels", inputs) for model in self.models]
        by_vector, by_words = (merged((_list(part, prefix) for part in found), depth) for prefix in ("", "word_"))
        hits = fuse(self.rule, by_vector, by_words, int(found[0]["kinds"][0]), k)
        return [(hit.item_id, hit.score, hit.channels) for hit in hits]


def _list(found: dict[str, np.ndarray], prefix: str) -> list[Listed]:
    columns = (found[f"{prefix}{name}"][0].tolist() for name in ("scores", "places", "item_ids"))
    return [Listed(score, place, one.decode()) for score, place, one in zip(*columns, strict=True) if one]


def requests_of(items: Shelf) -> list[dict[str, Any]]:
    """With words that items have, with a fresh item's, with none, with conditions, for many and for few."""
    titles = [items.titles[number].decode() for number in (3, 50, 120, 11)]
    asked = [{"query": title, "k": k} for title, k in zip(titles, (3, 10, 150, 60), strict=True)]
    word = sorted(items.words(9))[0].decode()
    return [
        *asked,
        {"query": "zzq", "k": 5},
        {"query": "", "k": 8},
        {"query": titles[0], "k": 20, "allowed_leaves": [items.leaves[3]]},
        {"query": titles[1], "k": 40, "required_terms": [word], "excluded_items": [items.ids[9]]},
        {"query": word, "k": 400},
    ]


def test_shards_answer_as_one(folders: tuple[Path, Path], data: str) -> None:
    one, shards = Client(folders[0], 2), Shards(folders[1])
    found_by = set()
    for request in requests_of(shelf(data)):
        answer = one.retrieve(request)
        there = answer["item_ids"][0] != b""
        found = shards.retrieve(one, request)
        assert [hit for hit, _, _ in found] == [name.decode() for name in answer["item_ids"][0][there].tolist()]
        assert [score for _, score, _ in found] == pytest.approx(answer["scores"][0][there].tolist(), abs=1e-5)
        assert [channels for _, _, channels in found] == answer["channels"][0][there].tolist()
        found_by |= {channels for _, _, channels in found}
    assert found_by == {1, 2, 3}


def test_fresh_items_and_tombstones(folders: tuple[Path, Path], data: str) -> None:
    one, items = Client(folders[0], 2), shelf(data)
    answer = one.retrieve({"query": "zzq", "k": 6})
    assert {name for name in answer["item_ids"][0].tolist() if name.startswith(b"NEW")} == {
        f"NEW{number}".encode() for number in range(6)
    }
    gone = one.retrieve({"query": items.titles[11].decode(), "k": 400})
    assert not {*items.ids[10:14]} & {*gone["item_ids"][0].tolist()}
    default = one.model.call("serving_default", {"query": np.array([b"zzq"], object)})
    same = one.retrieve({"query": "zzq", "k": 10})
    assert default["channels"].tolist() == same["channels"].tolist()
    assert default["item_ids"].tolist() == same["item_ids"].tolist()
