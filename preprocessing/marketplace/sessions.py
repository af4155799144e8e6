"""What sessions are after: projects, seasons, wishes that come back, and attributes that matter this time."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.brands import zipf
from preprocessing.marketplace.lexicon import Lexicon
from preprocessing.marketplace.users import Users, project_epoch

_AGAIN, _FOR_PROJECT = 0.25, 0.5  # shares of sessions that repeat the last wish; that serve the project there is
_SEASON, _SEASON_DAYS = 0.6, 28.0  # how far the demand of a leaf swings (its logarithm), and how fast


class Intents(NamedTuple):
    """What each of some sessions is after: a leaf, and the attribute values that matter, -1 for any."""

    leaf: np.ndarray  # [n]
    values: np.ndarray  # [n, attributes]

    def __getitem__(self, which: np.ndarray) -> Intents:  # type: ignore[override]
        return Intents(self.leaf[which], self.values[which])


class Sessions:
    """Draws intents, remembering each user's last one: people come back to what they looked at."""

    def __init__(self, users: Users, common_values: float, lexicon: Lexicon, random: np.random.Generator) -> None:
        self._users = users
        self._random = random
        leaves = len(lexicon.leaves)
        self._last = Intents(np.full(len(users.user_ids), -1), np.full((len(users.user_ids), len(lexicon.values)), -1))
        self._phase = random.random(leaves) * 2 * np.pi
        self._value_shares = [zipf(len(values), common_values) for values in lexicon.values]
        self._project_leaves = np.zeros((max(len(lexicon.projects), 1), leaves))
        for project, wanted in enumerate(lexicon.projects):
            self._project_leaves[project, list(wanted)] = 1.0

    def draw(self, user: np.ndarray, day: int) -> Intents:
        """The intents of sessions of users `[n]` on one day."""
        project = self._users.project[user, project_epoch(user, day)]
        serves = (project >= 0) & (self._random.random(len(user)) < _FOR_PROJECT)
        season = np.exp(_SEASON * np.sin(2 * np.pi * day / _SEASON_DAYS + self._phase))
        weights = np.where(serves[:, None], self._project_leaves[project], self._users.leaves[user]) * season
        cumulative = np.cumsum(weights, axis=1)
        leaf = (cumulative < cumulative[:, -1:] * self._random.random((len(user), 1))).sum(axis=1)
        colour = np.where(
            serves, self._users.project_colour[user, project_epoch(user, day)], self._users.colour(user, day)
        )
        values = self._wanted(user, colour)
        again = (self._random.random(len(user)) < _AGAIN) & (self._last.leaf[user] >= 0)
        intents = Intents(
            np.where(again, self._last.leaf[user], leaf), np.where(again[:, None], self._last.values[user], values)
        )
        self._last.leaf[user], self._last.values[user] = intents
        return intents

    def _wanted(self, user: np.ndarray, colour: np.ndarray) -> np.ndarray:
        """The values that matter this time: mostly of the user's taste, now and then any."""
        count = len(user)
        any_value = np.stack([self._random.choice(len(p), count, p=p) for p in self._value_shares], axis=1)
        wanted = np.where(self._random.random((count, len(self._value_shares))) < 0.25, any_value, -1)
        wanted[:, 0] = np.where(self._random.random(count) < 0.5, colour, wanted[:, 0])
        wanted[:, 3] = np.where(self._random.random(count) < 0.3, self._users.uses[user], wanted[:, 3])
        return wanted
