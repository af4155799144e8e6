"""Brands: a price band and a style each, and the tops in which they sell."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

STYLES = 4  # dimensions of the style that only taste knows
BANDS = (0.35, 0.4, 0.25)  # shares of cheap, usual and dear
_A_LEAF, _LEAST = 4, 48
_SYLLABLES = ("lu", "mo", "ra", "vel", "ko", "nor", "ti", "zan", "be", "qui", "sol", "fen", "ar", "wix", "dal", "pe")


class Brands(NamedTuple):
    """One row a brand."""

    names: list[str]
    band: np.ndarray  # 0 cheap to 2 dear
    style: np.ndarray  # [brands, STYLES], of length 1
    share: np.ndarray  # [brands, tops] how a top's items fall on the brands


def make_brands(leaves: int, tops: int, random: np.random.Generator) -> Brands:
    """Brands that each sell in about half of the tops, so that a taste for one shows in several."""
    count = max(_LEAST, _A_LEAF * leaves)
    size = np.outer(random.permutation(zipf(count, 0.6)), np.ones(tops))
    sells = random.random((count, tops)) < 0.5
    sells[np.arange(count), np.arange(count) % tops] = True
    share = np.where(sells, size, 0.0)
    return Brands(
        names=made_up_names(count, random),
        band=random.choice(3, count, p=BANDS),
        style=unit(random.normal(size=(count, STYLES))),
        share=share / share.sum(axis=0),
    )


def zipf(count: int, exponent: float) -> np.ndarray:
    """Probabilities that fall with the rank."""
    weights = 1.0 / np.arange(1, count + 1) ** exponent
    return weights / weights.sum()


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows of length 1."""
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def made_up_names(count: int, random: np.random.Generator) -> list[str]:
    """Names of two to four syllables, each once."""
    names: dict[str, None] = {}
    while len(names) < count:
        names["".join(_SYLLABLES[part] for part in random.integers(0, len(_SYLLABLES), random.integers(2, 5)))] = None
    return list(names)
