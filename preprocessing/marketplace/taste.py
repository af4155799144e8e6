"""What an item is to a user beside what the query says: brand, price band and style, the same in every leaf."""

from __future__ import annotations

import numpy as np

from preprocessing.marketplace.catalog import Catalog
from preprocessing.marketplace.users import Users

_BRAND, _STYLE = 1.7, 1.4
_BAND = np.array([0.8, 0.0, -1.2])  # by how many bands off
POPULARITY = 0.35  # what the popular has for everybody, against the logarithm of its popularity
FIT = 3.2  # what fitting the wish weighs beside taste


def appeal(catalog: Catalog, users: Users, user: np.ndarray, items: np.ndarray) -> np.ndarray:
    """How far items are users' kind of thing: `[n, m]`.

    Args:
      user: `[n]`.
      items: `[n, m]`.
    """
    liked = (users.favourites[user][:, None, :] == catalog.brand[items][:, :, None]).any(axis=2)
    style = np.einsum("ns,nms->nm", users.style[user], catalog.style[items])
    band = np.abs(catalog.band[items] - users.band[user][:, None])
    return _BRAND * liked + _STYLE * style + _BAND[band]
