"""The catalogue: what is for sale, by whom, and how its sellers write of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from preprocessing.marketplace.lexicon import ATTRIBUTES, Lexicon, misspell

BRANDS_A_TOP = 20
_LEVELS = (0.6, 1.0, 1.9)  # what a brand of each price band asks, against the leaf's usual price
_SYLLABLES = ("lu", "mo", "ra", "vel", "ko", "nor", "ti", "zan", "be", "qui", "sol", "fen", "ar", "wix", "dal", "pe")
_FILLER_SHARE, _MISSPELT_SHARE, _CHINESE_SHOPS = 0.5, 0.03, 0.2
_NEW_SHARE, _OUT_OF_STOCK = 0.08, 0.03


class Catalog(NamedTuple):
    """One row an item; brands, shops and attribute values by number."""

    item_ids: list[str]
    titles: list[str]
    leaf: np.ndarray
    brand: np.ndarray
    shop: np.ndarray
    values: np.ndarray  # [items, attributes]
    price: np.ndarray
    band: np.ndarray  # 0 cheap to 2 dear, the brand's
    popularity: np.ndarray
    entry_day: np.ndarray
    in_stock: np.ndarray
    brand_names: list[str]
    shop_names: list[str]

    def records(self, lexicon: Lexicon) -> Iterator[dict[str, Any]]:
        """The catalogue stream."""
        for index, item_id in enumerate(self.item_ids):
            leaf = int(self.leaf[index])
            yield {
                "item_id": item_id,
                "title": self.titles[index],
                "brand": self.brand_names[self.brand[index]],
                "shop": self.shop_names[self.shop[index]],
                "category_leaf": lexicon.leaves[leaf],
                "category_top": lexicon.tops[lexicon.top_of[leaf]],
                "price": round(float(self.price[index]), 2),
                "in_stock": bool(self.in_stock[index]),
            }


def zipf(count: int, exponent: float) -> np.ndarray:
    """Probabilities that fall with the rank."""
    weights = 1.0 / np.arange(1, count + 1) ** exponent
    return weights / weights.sum()


def make_catalog(items: int, days: int, lexicon: Lexicon, random: np.random.Generator) -> Catalog:
    """A catalogue of `items`."""
    tops, shops = len(lexicon.tops), max(24, items // 60)
    leaf_share = random.permutation(zipf(len(lexicon.leaves), 0.35))
    leaf = random.choice(len(lexicon.leaves), items, p=leaf_share)
    top = np.array(lexicon.top_of)[leaf]
    brand_band = random.choice(3, tops * BRANDS_A_TOP, p=(0.35, 0.4, 0.25))
    brand = top * BRANDS_A_TOP + random.choice(BRANDS_A_TOP, items, p=zipf(BRANDS_A_TOP, 0.7))
    shop = _shops_of(top, shops, tops, random)
    usual_price = np.exp(random.normal(3.6, 0.9, len(lexicon.leaves)))[leaf]
    price = usual_price * np.array(_LEVELS)[brand_band[brand]] * np.exp(random.normal(0, 0.25, items))
    values = _values(brand, shops, shop, items, lexicon, random)
    brand_names, shop_names = _names(tops * BRANDS_A_TOP, random), [f"{name} store" for name in _names(shops, random)]
    is_new = random.random(items) < _NEW_SHARE
    return Catalog(
        item_ids=[f"P{number:07d}" for number in random.permutation(items * 10)[:items].tolist()],
        titles=_titles(leaf, brand, shop, values, brand_names, shops, lexicon, random),
        leaf=leaf,
        brand=brand,
        shop=shop,
        values=values,
        price=price,
        band=brand_band[brand],
        popularity=np.exp(random.normal(0, 1.0, items)),
        entry_day=np.where(is_new, random.integers(1, days, items), 0),
        in_stock=random.random(items) >= _OUT_OF_STOCK,
        brand_names=brand_names,
        shop_names=shop_names,
    )


def _names(count: int, random: np.random.Generator) -> list[str]:
    """Made-up names, each once."""
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(_SYLLABLES[part] for part in random.integers(0, len(_SYLLABLES), random.integers(2, 4)))] = None
    return list(names)


def _shops_of(top: np.ndarray, shops: int, tops: int, random: np.random.Generator) -> np.ndarray:
    """A shop sells what belongs to its one or two tops; a few shops sell most."""
    sells = np.stack([np.arange(shops) % tops, random.integers(0, tops, shops)])
    shop = np.zeros(len(top), np.int64)
    for one in range(tops):
        sellers = np.flatnonzero((sells == one).any(axis=0))
        mine = np.flatnonzero(top == one)
        shop[mine] = random.choice(sellers, len(mine), p=zipf(len(sellers), 0.6))
    return shop


def _values(
    brand: np.ndarray, shops: int, shop: np.ndarray, items: int, lexicon: Lexicon, random: np.random.Generator
) -> np.ndarray:
    """Attribute values; a brand leans to one material, a shop to one use."""
    columns = [random.integers(0, len(lexicon.values[number]), items) for number in range(len(ATTRIBUTES))]
    house_material = random.integers(0, len(lexicon.values[1]), brand.max() + 1)
    house_use = random.integers(0, len(lexicon.values[3]), shops)
    columns[1] = np.where(random.random(items) < 0.5, house_material[brand], columns[1])
    columns[3] = np.where(random.random(items) < 0.4, house_use[shop], columns[3])
    return np.stack(columns, axis=1)


def _titles(
    leaf: np.ndarray,
    brand: np.ndarray,
    shop: np.ndarray,
    values: np.ndarray,
    brand_names: list[str],
    shops: int,
    lexicon: Lexicon,
    random: np.random.Generator,
) -> list[str]:
    """Titles as sellers write them: each shop in its own order and language."""
    chinese = random.random(shops) < _CHINESE_SHOPS
    orders = np.argsort(random.random((shops, 7)), axis=1)
    draws = random.random((len(leaf), 24))
    titles = []
    for index, row in enumerate(draws.tolist()):
        seller = shop[index]
        write = _chinese_parts if chinese[seller] else _english_parts
        parts = write(int(leaf[index]), brand_names[brand[index]], values[index].tolist(), lexicon, row)
        ordered = [parts[place] for place in orders[seller].tolist() if parts[place]]
        titles.append(("" if chinese[seller] else " ").join(ordered))
    return titles


def _english_parts(leaf: int, brand: str, values: list[int], lexicon: Lexicon, row: list[float]) -> list[str]:
    """Brand, noun, four attributes, filler; an attribute goes unsaid at times, a word is misspelt."""
    nouns = lexicon.leaf_names[leaf].title
    noun = nouns[0] if row[0] < 0.55 else nouns[int(row[1] * len(nouns))]
    said = (0.8, 0.6, 0.5, 0.5)
    parts = [brand.capitalize() if row[2] < 0.85 else "", noun]
    for number, value in enumerate(values):
        words = lexicon.values[number][value].title
        parts.append(words[int(row[3 + number] * len(words))] if row[7 + number] < said[number] else "")
    parts.append(lexicon.fillers[int(row[11] * len(lexicon.fillers))] if row[12] < _FILLER_SHARE else "")
    return [
        " ".join(
            misspell(word, row[16 + place]) if row[16 + place] * 100 % 1 < _MISSPELT_SHARE else word
            for word in part.split()
        )
        for place, part in enumerate(parts)
    ]


def _chinese_parts(leaf: int, brand: str, values: list[int], lexicon: Lexicon, row: list[float]) -> list[str]:
    said = (0.8, 0.6, 0.5, 0.5)
    parts = [brand if row[2] < 0.7 else "", lexicon.leaf_names[leaf].chinese]
    for number, value in enumerate(values):
        parts.append(lexicon.values[number][value].chinese if row[7 + number] < said[number] else "")
    parts.append(
        lexicon.chinese_fillers[int(row[11] * len(lexicon.chinese_fillers))] if row[12] < _FILLER_SHARE else ""
    )
    return parts
