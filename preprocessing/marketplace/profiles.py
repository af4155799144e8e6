"""What kind of shop it is: the figures in which a small shop's log and a marketplace's differ."""

from __future__ import annotations

from typing import NamedTuple


class Profile(NamedTuple):
    """The settings of one kind of shop; docs/data.md has the log figures that they aim at."""

    items: int
    users: int
    sessions_a_day: float  # of a user, on average
    evenness: float  # shape of the gamma that users' activity follows: small where a few do most
    broad: float  # share of first queries that say the noun alone
    more_searches: float  # chance that a search is followed by another in the session
    careless: float  # share of words mistyped
    spread: float  # of the logarithm of items' popularity
    common_values: float  # exponent: how much more often some colours, materials, sizes and uses are wanted than others
    reluctance: float  # what an item's fit and appeal have to overcome to be clicked
    strays: float  # share of searches with a click on something irrelevant


PROFILES = {
    "marketplace": Profile(
        items=20_000,
        users=5_000,
        sessions_a_day=0.4,
        evenness=0.9,
        broad=0.6,
        more_searches=0.36,
        careless=0.04,
        spread=1.2,
        common_values=1.1,
        reluctance=6.3,
        strays=0.2,
    ),
    "small-shop": Profile(
        items=2_000,
        users=150_000,
        sessions_a_day=0.005,
        evenness=1.0,
        broad=0.85,
        more_searches=0.15,
        careless=0.04,
        spread=1.0,
        common_values=1.6,
        reluctance=5.2,
        strays=0.17,
    ),
}
