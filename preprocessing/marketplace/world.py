"""A market's people and things: the same arguments give the same, so that its truth can be asked for again."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from preprocessing.marketplace.catalog import Catalog, leaves_of, make_catalog
from preprocessing.marketplace.lexicon import Lexicon, lexicon
from preprocessing.marketplace.profiles import PROFILES, Profile
from preprocessing.marketplace.users import Users, make_users


class World(NamedTuple):
    """Everything that is there before the first search."""

    catalog: Catalog
    users: Users
    lexicon: Lexicon
    profile: Profile
    random: np.random.Generator  # of what happens


def make_world(items: int, users: int, days: int, seed: int, profile: str) -> World:
    """The world of `preprocessing.simulate`'s arguments."""
    of_items, of_users, of_days = (np.random.default_rng(one) for one in np.random.SeedSequence(seed).spawn(3))
    kind, words = PROFILES[profile], lexicon(leaves_of(items))
    catalog = make_catalog(items, days, kind.spread, kind.common_values, words, of_items)
    activity = (kind.sessions_a_day, kind.evenness)
    people = make_users(users, days, activity, kind.careless, catalog.brands, words, of_users)
    return World(catalog, people, words, kind, of_days)
