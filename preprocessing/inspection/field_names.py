"""How shops call our fields, and what a field of each must hold to be it."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import NamedTuple

from preprocessing.inspection.field_facts import FieldFacts

_NOT_LETTERS = re.compile(r"[^a-z0-9]")
_MOST_ACTIONS = 60  # names of actions that a log has
Fits = Callable[[FieldFacts], bool]


class Wanted(NamedTuple):
    """What one of our fields may be called, the likeliest first, and which values can be it."""

    names: tuple[str, ...]
    fits: Fits
    needed: bool = True


def _id(facts: FieldFacts) -> bool:
    return not facts.of_list and facts.share("flag") < 0.05


def _text(facts: FieldFacts) -> bool:
    return not facts.of_list and facts.share("text") > 0.9 and not facts.are_times


def _words(facts: FieldFacts) -> bool:
    return _text(facts) and facts.words > 1.3 * facts.there


def _number(facts: FieldFacts) -> bool:
    return not facts.of_list and (facts.share("number") > 0.9 or all(map(_is_number, list(facts.values)[:200])))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _flag(facts: FieldFacts) -> bool:
    return not facts.of_list and len(facts.values) <= 4


def _time(facts: FieldFacts) -> bool:
    return not facts.of_list and facts.are_times


def _action(facts: FieldFacts) -> bool:
    few = len(facts.values) <= min(_MOST_ACTIONS, max(2, facts.there // 5))
    return _text(facts) and (few or all(map(action_of, facts.values)))


ITEM_ID = Wanted(
    (
        "item_id",
        "product_id",
        "sku",
        "asin",
        "article_id",
        "goods_id",
        "object_id",
        "pid",
        "item",
        "product",
        "id",
        "url",
    ),
    _id,
)
_USER_ID = Wanted(
    ("user_id", "customer_id", "client_id", "visitor_id", "user_pseudo_id", "user", "customer", "uid"), _id
)
_TIME = Wanted(("ts", "timestamp", "event_time", "time", "datetime", "created_at", "date"), _time)
_REQUEST_ID = ("request_id", "query_id", "search_id", "session_query_id", "request", "search", "id")
NAMES: dict[str, dict[str, Wanted]] = {
    "catalog": {
        "item_id": ITEM_ID,
        "title": Wanted(("title", "product_title", "name", "product_name", "item_name", "label"), _words),
        "brand": Wanted(("brand", "brand_name", "maker", "manufacturer", "vendor"), _text, False),
        "shop": Wanted(("shop", "shop_name", "seller", "merchant", "store"), _id, False),
        "category_leaf": Wanted(
            ("category_leaf", "leaf", "category", "product_type", "category_name", "kind", "class", "type"),
            _text,
            False,
        ),
        "category_top": Wanted(
            ("category_top", "department", "top_category", "root_category", "division"), _text, False
        ),
        "price": Wanted(("price", "sale_price", "list_price", "amount", "unit_price"), _number, False),
        "in_stock": Wanted(("in_stock", "available", "is_available", "availability", "stock", "active"), _flag, False),
        "updated_at": Wanted(("updated_at", "modified_at", "last_update", "updated"), _time, False),
        "description": Wanted(
            ("description", "product_description", "long_description", "details", "body"), _words, False
        ),
    },
    "searches": {
        "query": Wanted(("query", "search_query", "search_term", "keywords", "user_query", "q", "text", "term"), _text),
        "results": Wanted(
            ("results", "shown", "impressions", "page", "hits", "items", "products", "ids"), lambda facts: facts.of_list
        ),
        "ts": _TIME,
        "user_id": _USER_ID,
        "request_id": Wanted(_REQUEST_ID, _id),
    },
    "actions": {
        "action": Wanted(
            ("action", "event", "event_name", "event_type", "action_name", "what", "behavior", "type"), _action
        ),
        "item_id": ITEM_ID,
        "ts": _TIME,
        "user_id": _USER_ID,
        "request_id": Wanted(_REQUEST_ID, _id, False),
    },
}
FILES = {
    "catalog": ("catalog", "product", "item", "article", "goods", "sku"),
    "searches": ("search", "quer", "request"),
    "actions": ("action", "event", "click", "interaction", "behavio", "order", "purchase"),
}
ACTIONS = {
    "click": (
        "click",
        "view_item",
        "select_item",
        "item_click",
        "product_click",
        "product_view",
        "detail",
        "pv",
        "open",
    ),
    "collect": ("collect", "fav", "favorite", "favourite", "wishlist", "add_to_wishlist", "save", "like", "bookmark"),
    "cart": ("cart", "add_to_cart", "addtocart", "basket", "add_to_basket", "atc"),
    "order": ("order", "purchase", "buy", "bought", "checkout", "transaction", "conversion", "sale", "paid"),
}


def plain(name: str) -> str:
    """A name without case, separators and the plural."""
    return _NOT_LETTERS.sub("", name.lower())


def likeness(path: str, names: Collection[str]) -> float:
    """How well a path is called: up to 2 by the place of its last step, or two, among the names; 0 if not at all."""
    steps = path.replace("[]", "").split(".")
    written = {plain(steps[-1]), plain("".join(steps[-2:]))}
    for place, name in enumerate(names):
        if plain(name) in written:
            return 2 - place / len(names) - 0.1 * (len(steps) - 1)
    return 0.0


def action_of(name: str) -> str | None:
    """What one of a shop's events is, of ours; None for what is none of them."""
    return next((ours for ours, theirs in ACTIONS.items() if plain(name) in map(plain, theirs)), None)
