"""A catalogue as its own first log: parts of a product's texts as queries, the product as what was clicked."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

WARM_AT = 1_703_980_800_000  # 2023-12-31, the day before the judged queries of `preprocessing.adapt`
_WORDS = re.compile(r"\w+")
_LONGEST, _DESCRIPTION = 3, 40  # words of a query; of a description that are looked at
Record = dict[str, Any]


def warm_requests(products: Iterable[Mapping[str, Any]], count: int, seed: int) -> Iterator[tuple[Record, Record]]:
    """For each product `count` searches of one to three neighbouring words, each with its click.

    The words come from the title (with the brand in front), the category or the description, in turn by chance.
    """
    random_ = random.Random(seed)
    for number, product in enumerate(products):
        texts = [text for text in _texts(product) if text]
        for place in range(count if texts else 0):
            words = random_.choice(texts)
            length = min(random_.randint(1, _LONGEST), len(words))
            first = random_.randrange(len(words) - length + 1)
            asked = f"{number}-{place}"  # each by somebody else: none is another's past
            ids = {"request_id": f"warm-{asked}", "ts": WARM_AT + number, "user_id": f"warm {asked}"}
            query = " ".join(words[first : first + length])
            search = {**ids, "query": query, "results": [product["item_id"]]}
            yield search, {**ids, "ts": WARM_AT + number + 1_000, "item_id": product["item_id"], "action": "click"}


def _texts(product: Mapping[str, Any]) -> list[list[str]]:
    title = f"{product.get('brand') or ''} {product['title']}"
    described = _WORDS.findall(product.get("description") or "")[:_DESCRIPTION]
    # The title twice: what a shop's people search is nearer to it than to what was written to sell.
    return [_WORDS.findall(title), _WORDS.findall(title), _WORDS.findall(product.get("category") or ""), described]


def again(searches: Iterable[bytes], actions: Iterable[bytes], times: int) -> Iterator[tuple[str, Record]]:
    """The training requests of `preprocessing.adapt` `times` more times, each time by others."""
    for name, lines in (("searches", searches), ("actions", actions)):
        for line in lines:
            record = json.loads(line)
            if record["request_id"].startswith("train-"):
                for time in range(times):
                    other = {key: f"{record[key]} again {time}" for key in ("request_id", "user_id")}
                    yield name, record | other
