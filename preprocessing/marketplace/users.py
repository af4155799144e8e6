"""Users: a slow taste in brands, prices, style and looks, and how they search."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.brands import BANDS, STYLES, Brands, unit, zipf
from preprocessing.marketplace.lexicon import Lexicon

PROJECT_DAYS = 10
_FAVOURITES = 5  # brands a user likes
_TOWARDS_STYLE = 2.0  # how far favourites are brands of the user's style
_CHINESE_USERS, _DRIFTING_USERS = 0.12, 0.4


class Users(NamedTuple):
    """One row a user."""

    user_ids: list[str]
    activity: np.ndarray  # sessions a day
    band: np.ndarray  # price band
    style: np.ndarray  # [users, STYLES], of length 1
    favourites: np.ndarray  # [users, favourites] brands
    colours: np.ndarray  # [users, 2]: the favourite colour before and after the taste drifts
    drift_day: np.ndarray
    uses: np.ndarray  # favourite use
    leaves: np.ndarray  # [users, leaves] how a user's wishes fall on the leaves
    project: np.ndarray  # [users, epochs] the project of each stretch of days, -1 for none
    project_colour: np.ndarray  # [users, epochs]
    chinese: np.ndarray
    careless: np.ndarray  # share of words mistyped

    def colour(self, users: np.ndarray, day: int) -> np.ndarray:
        """The favourite colours of the day."""
        return self.colours[users, (day >= self.drift_day[users]).astype(np.int64)]


def project_epoch(users: np.ndarray, day: int) -> np.ndarray:
    """Which stretch of days a day falls in; users start theirs on different days."""
    return (day + users % PROJECT_DAYS) // PROJECT_DAYS


def make_users(
    count: int,
    days: int,
    activity: tuple[float, float],
    careless: float,
    brands: Brands,
    lexicon: Lexicon,
    random: np.random.Generator,
) -> Users:
    """`count` users.

    Args:
      activity: sessions a day on average, and the shape of their gamma: small where a few search most.
      careless: the share of words mistyped, on average.
    """
    leaves, colours = len(lexicon.leaves), len(lexicon.values[0])
    mean, evenness = activity
    style = unit(random.normal(size=(count, STYLES)))
    first = random.integers(0, colours, count)
    drifts = random.random(count) < _DRIFTING_USERS
    epochs = days // PROJECT_DAYS + 2
    in_project = random.random((count, epochs)) < (0.5 if lexicon.projects else 0.0)
    demand = random.permutation(zipf(leaves, 0.5)) * leaves
    return Users(
        user_ids=[f"U{number:07d}" for number in random.permutation(count * 10)[:count].tolist()],
        activity=random.gamma(evenness, mean / evenness, count),
        band=random.choice(3, count, p=BANDS),
        style=style,
        favourites=_favourites(style, brands, random),
        colours=np.stack([first, np.where(drifts, random.integers(0, colours, count), first)], axis=1),
        drift_day=random.integers(0, days, count),
        uses=random.integers(0, len(lexicon.values[3]), count),
        leaves=random.gamma(0.4, demand, (count, leaves)).astype(np.float32) + 1e-6,
        project=np.where(in_project, random.integers(0, max(len(lexicon.projects), 1), (count, epochs)), -1),
        project_colour=random.integers(0, colours, (count, epochs)),
        chinese=random.random(count) < _CHINESE_USERS,
        careless=random.beta(1, 1 / careless - 1, count),
    )


def _favourites(style: np.ndarray, brands: Brands, random: np.random.Generator) -> np.ndarray:
    """`[users, favourites]`: big brands and brands of the user's style more often (Gumbel's top few)."""
    chosen = np.zeros((len(style), _FAVOURITES), np.int64)
    size = np.log(brands.share.sum(axis=1))
    for first in range(0, len(style), 10_000):
        part = slice(first, first + 10_000)
        leaning = _TOWARDS_STYLE * style[part] @ brands.style.T + size
        leaning += random.gumbel(size=leaning.shape)
        chosen[part] = np.argpartition(-leaning, _FAVOURITES, axis=1)[:, :_FAVOURITES]
    return chosen
