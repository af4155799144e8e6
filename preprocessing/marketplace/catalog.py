"""The catalogue: what is for sale, by whom, of what make, and since when."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from preprocessing.marketplace.brands import BANDS, STYLES, Brands, made_up_names, make_brands, unit, zipf
from preprocessing.marketplace.lexicon import Lexicon
from preprocessing.marketplace.titles import write_titles

DAY_MS = 86_400_000
FIRST_DAY = 1_704_067_200_000  # 2024-01-01
ITEMS_A_LEAF = 1_000  # at least, where there are as many
_USUALLY_A_LEAF, _FEWEST_LEAVES = 1_250, 16
_LEVELS = np.array([0.6, 1.0, 1.9])  # what each price band asks, against the leaf's usual price
_OF_ITS_BRANDS_BAND = 0.75
_NEW_SHARE, _OUT_OF_STOCK = 0.2, 0.03


class Catalog(NamedTuple):
    """One row an item; leaves, brands, shops and attribute values by number."""

    item_ids: list[str]
    titles: list[str]
    leaf: np.ndarray
    brand: np.ndarray
    shop: np.ndarray
    values: np.ndarray  # [items, attributes]
    said: np.ndarray  # [items, attributes], whether the title says it
    price: np.ndarray
    band: np.ndarray  # 0 cheap to 2 dear
    style: np.ndarray  # [items, STYLES], of length 1
    popularity: np.ndarray  # its logarithm
    entry_day: np.ndarray
    in_stock: np.ndarray
    brands: Brands
    shop_names: list[str]

    def records(self, lexicon: Lexicon) -> Iterator[dict[str, Any]]:
        """The catalogue stream."""
        leaves, tops = lexicon.leaves, [lexicon.tops[top] for top in lexicon.top_of]
        prices = np.round(self.price, 2).tolist()
        updated = (FIRST_DAY + self.entry_day * DAY_MS).tolist()
        for index, item_id in enumerate(self.item_ids):
            leaf = self.leaf[index]
            yield {
                "item_id": item_id,
                "title": self.titles[index],
                "brand": self.brands.names[self.brand[index]],
                "shop": self.shop_names[self.shop[index]],
                "category_leaf": leaves[leaf],
                "category_top": tops[leaf],
                "price": prices[index],
                "in_stock": bool(self.in_stock[index]),
                "updated_at": updated[index],
            }


def leaves_of(items: int) -> int:
    """How many leaves a catalogue of `items` has: few and deep."""
    return max(_FEWEST_LEAVES, items // _USUALLY_A_LEAF)


def make_catalog(
    items: int, days: int, spread: float, common_values: float, lexicon: Lexicon, random: np.random.Generator
) -> Catalog:
    """A catalogue of `items`; `spread` and `common_values` as in the profile."""
    tops, shops = len(lexicon.tops), max(24, items // 60)
    brands = make_brands(len(lexicon.leaves), tops, random)
    leaf = _leaves(items, len(lexicon.leaves), random)
    top = np.array(lexicon.top_of)[leaf]
    brand, shop = np.zeros(items, np.int64), _shops_of(top, shops, tops, random)
    for one in range(tops):
        brand[top == one] = random.choice(len(brands.names), int((top == one).sum()), p=brands.share[:, one])
    values = _values(brand, shop, common_values, lexicon, random)
    band = np.where(random.random(items) < _OF_ITS_BRANDS_BAND, brands.band[brand], random.choice(3, items, p=BANDS))
    usual_price = np.exp(random.normal(3.6, 0.9, len(lexicon.leaves)))[leaf]
    titles, said = write_titles(leaf, [brands.names[one] for one in brand], shop, values, lexicon, random)
    return Catalog(
        item_ids=[f"P{number:07d}" for number in random.permutation(items * 10)[:items].tolist()],
        titles=titles,
        leaf=leaf,
        brand=brand,
        shop=shop,
        values=values,
        said=said,
        price=usual_price * _LEVELS[band] * np.exp(random.normal(0, 0.25, items)),
        band=band,
        style=unit(brands.style[brand] + 0.35 * random.normal(size=(items, STYLES))),
        popularity=random.normal(0, spread, items),
        entry_day=np.where(random.random(items) < _NEW_SHARE, random.integers(1, days, items), 0),
        in_stock=random.random(items) >= _OUT_OF_STOCK,
        brands=brands,
        shop_names=[f"{name} store" for name in made_up_names(shops, random)],
    )


def _leaves(items: int, leaves: int, random: np.random.Generator) -> np.ndarray:
    """A leaf an item: the same floor for all, and what is above it where demand is."""
    floor = min(ITEMS_A_LEAF, int(items * 0.8 / leaves))
    rest = random.choice(leaves, items - floor * leaves, p=random.permutation(zipf(leaves, 0.6)))
    return random.permutation(np.concatenate([np.repeat(np.arange(leaves), floor), rest]))


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
    brand: np.ndarray, shop: np.ndarray, common_values: float, lexicon: Lexicon, random: np.random.Generator
) -> np.ndarray:
    """Attribute values, common ones more often; a brand leans to one material, a shop to one use."""
    items, counts = len(brand), [len(values) for values in lexicon.values]
    columns = [random.choice(count, items, p=zipf(count, common_values / 2)) for count in counts]
    house_material = random.integers(0, counts[1], brand.max() + 1)
    house_use = random.integers(0, counts[3], shop.max() + 1)
    columns[1] = np.where(random.random(items) < 0.4, house_material[brand], columns[1])
    columns[3] = np.where(random.random(items) < 0.4, house_use[shop], columns[3])
    return np.stack(columns, axis=1)
