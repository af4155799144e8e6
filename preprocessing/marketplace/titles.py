"""Titles as sellers write them: each shop in its own order and language, not all said, some words misspelt."""

from __future__ import annotations

import numpy as np

from preprocessing.marketplace.lexicon import Lexicon, misspell

_SAID = (0.8, 0.6, 0.5, 0.5)  # share of titles that say colour, material, size, use
_AT_ONCE = 10_000  # titles
_FILLER_SHARE, _MISSPELT_SHARE, _CHINESE_SHOPS = 0.5, 0.03, 0.2


def write_titles(
    leaf: np.ndarray,
    brand_names: list[str],
    shop: np.ndarray,
    values: np.ndarray,
    lexicon: Lexicon,
    random: np.random.Generator,
) -> tuple[list[str], np.ndarray]:
    """The titles, and which attributes each says, `[items, attributes]`.

    Args:
      leaf: `[items]`.
      brand_names: an item's brand.
      shop: `[items]`, who writes.
      values: `[items, attributes]`.
    """
    shops = int(shop.max()) + 1
    chinese = (random.random(shops) < _CHINESE_SHOPS).tolist()
    orders = np.argsort(random.random((shops, 7)), axis=1).tolist()
    said = random.random((len(leaf), len(_SAID))) < np.array(_SAID)
    titles = []
    for first in range(0, len(leaf), _AT_ONCE):
        part = slice(first, first + _AT_ONCE)
        spoken = np.where(said[part], values[part], -1).tolist()
        draws = random.random((len(spoken), 20)).tolist()
        rows = zip(leaf[part].tolist(), brand_names[part], shop[part].tolist(), spoken, draws, strict=True)
        for kind, brand, seller, words, row in rows:
            write = _chinese_parts if chinese[seller] else _english_parts
            parts = write(kind, brand, words, lexicon, row)
            ordered = [parts[place] for place in orders[seller] if parts[place]]
            titles.append(("" if chinese[seller] else " ").join(ordered))
    return titles, said


def _english_parts(leaf: int, brand: str, spoken: list[int], lexicon: Lexicon, row: list[float]) -> list[str]:
    """Brand, noun, four attributes, filler."""
    nouns = lexicon.leaf_names[leaf].title
    noun = nouns[0] if row[0] < 0.55 else nouns[int(row[1] * len(nouns))]
    parts = [brand.capitalize() if row[2] < 0.85 else "", noun]
    for number, value in enumerate(spoken):
        words = lexicon.values[number][value].title
        parts.append(words[int(row[3 + number] * len(words))] if value >= 0 else "")
    parts.append(lexicon.fillers[int(row[7] * len(lexicon.fillers))] if row[8] < _FILLER_SHARE else "")
    return [
        " ".join(misspell(word, row[16]) for word in part.split()) if row[9 + place] < _MISSPELT_SHARE else part
        for place, part in enumerate(parts)
    ]


def _chinese_parts(leaf: int, brand: str, spoken: list[int], lexicon: Lexicon, row: list[float]) -> list[str]:
    parts = [brand if row[2] < 0.7 else "", lexicon.leaf_names[leaf].chinese]
    parts += [lexicon.values[number][value].chinese if value >= 0 else "" for number, value in enumerate(spoken)]
    fillers = lexicon.chinese_fillers
    parts.append(fillers[int(row[7] * len(fillers))] if row[8] < _FILLER_SHARE else "")
    return parts
