"""Users: a slow taste, a project of some days, and today's intent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.catalog import BRANDS_A_TOP, zipf
from preprocessing.marketplace.lexicon import Lexicon

_PROJECT_DAYS = 10
_FAVOURITE_BRANDS = 2  # a top
_CHINESE_USERS, _DRIFTING_USERS = 0.12, 0.4


class Users(NamedTuple):
    """One row a user."""

    user_ids: list[str]
    activity: np.ndarray  # sessions a day
    band: np.ndarray  # price band
    colours: np.ndarray  # [users, 2 epochs]: the favourite colour before and after the taste drifts
    drift_day: np.ndarray
    uses: np.ndarray  # favourite use
    tops: np.ndarray  # [users, tops] how a user's wishes fall on the tops
    brands: np.ndarray  # [users, tops, favourites]
    project: np.ndarray  # [users, epochs] the project of each stretch of days, -1 for none
    project_colour: np.ndarray  # [users, epochs]
    chinese: np.ndarray
    careless: np.ndarray  # share of words mistyped

    def colour(self, user: int, day: int) -> int:
        """The favourite colour of the day."""
        return int(self.colours[user, int(day >= self.drift_day[user])])


def project_epoch(day: int, user: int) -> int:
    """Which stretch of days a day falls in; users start theirs on different days."""
    return (day + user % _PROJECT_DAYS) // _PROJECT_DAYS


def make_users(count: int, days: int, sessions_a_day: float, lexicon: Lexicon, random: np.random.Generator) -> Users:
    """`count` users; a few search much more than most."""
    tops, colours = len(lexicon.tops), len(lexicon.values[0])
    activity = random.gamma(1.2, 1.0, count)
    first = random.integers(0, colours, count)
    drifts = random.random(count) < _DRIFTING_USERS
    epochs = days // _PROJECT_DAYS + 2
    in_project = random.random((count, epochs)) < 0.6
    brands = random.choice(BRANDS_A_TOP, (count, tops, _FAVOURITE_BRANDS), p=zipf(BRANDS_A_TOP, 0.4))
    return Users(
        user_ids=[f"U{number:07d}" for number in random.permutation(count * 10)[:count].tolist()],
        activity=activity / activity.mean() * sessions_a_day,
        band=random.choice(3, count, p=(0.35, 0.4, 0.25)),
        colours=np.stack([first, np.where(drifts, random.integers(0, colours, count), first)], axis=1),
        drift_day=random.integers(0, days, count),
        uses=random.integers(0, len(lexicon.values[3]), count),
        tops=random.dirichlet(np.full(tops, 0.35), count),
        brands=brands + np.arange(tops)[None, :, None] * BRANDS_A_TOP,
        project=np.where(in_project, random.integers(0, len(lexicon.projects), (count, epochs)), -1),
        project_colour=random.integers(0, colours, (count, epochs)),
        chinese=random.random(count) < _CHINESE_USERS,
        careless=random.beta(1, 24, count),
    )


class Intent(NamedTuple):
    """What one session is after: a leaf, and the attribute values that matter, -1 for any."""

    leaf: int
    values: tuple[int, ...]


class Sessions:
    """Draws intents, remembering each user's last one: people come back to what they looked at."""

    def __init__(self, users: Users, leaf_share: np.ndarray, lexicon: Lexicon, random: np.random.Generator) -> None:
        self._users = users
        self._lexicon = lexicon
        self._random = random
        self._last: dict[int, Intent] = {}
        self._leaves = [np.flatnonzero(np.array(lexicon.top_of) == top) for top in range(len(lexicon.tops))]
        self._shares = [leaf_share[leaves] / leaf_share[leaves].sum() for leaves in self._leaves]
        self._cumulative_tops = np.cumsum(users.tops, axis=1)

    def intent(self, user: int, day: int) -> Intent:
        """What the user wants in a session of this day."""
        draw = self._random.random(4)
        last = self._last.get(user)
        if last is not None and draw[0] < 0.25:
            return last
        epoch = project_epoch(day, user)
        project = int(self._users.project[user, epoch])
        if project >= 0 and draw[1] < 0.6:
            leaves = self._lexicon.projects[project]
            leaf, colour = leaves[int(draw[2] * len(leaves))], int(self._users.project_colour[user, epoch])
        else:
            top = min(int(np.searchsorted(self._cumulative_tops[user], draw[2])), len(self._leaves) - 1)
            leaf = int(self._leaves[top][np.searchsorted(np.cumsum(self._shares[top])[:-1], draw[3])])
            colour = self._users.colour(user, day)
        self._last[user] = Intent(leaf, self._wanted(user, colour))
        return self._last[user]

    def _wanted(self, user: int, colour: int) -> tuple[int, ...]:
        """The values that matter this time: mostly of the user's taste, now and then any."""
        draw = self._random.random(8)
        counts = [len(values) for values in self._lexicon.values]
        wanted = [int(draw[4 + number] * counts[number]) if draw[number] < 0.25 else -1 for number in range(4)]
        if draw[0] < 0.7:
            wanted[0] = colour
        if draw[3] < 0.4:
            wanted[3] = int(self._users.uses[user])
        return tuple(wanted)
