"""What users did of late, and which items are acted on by the same users: two of the engine's channels."""

from __future__ import annotations

import numpy as np

_RECENT = 8  # items a user
_NEIGHBOURS = 12  # items an item
_BUFFER = 8_000_000  # cells


class CoVisits:
    """Recent items by user, and co-visited items by item."""

    def __init__(self, users: int, items: int) -> None:
        self.recent = np.full((users, _RECENT), -1, np.int32)  # newest first
        self._neighbours = np.full((items, _NEIGHBOURS), -1, np.int32)
        self._weights = np.zeros((items, _NEIGHBOURS), np.float32)
        self._scores = np.zeros((max(1, min(512, _BUFFER // items)), items), np.float32)

    def note(self, user: int, item: int) -> None:
        """An action of a user on an item."""
        row = self.recent[user]
        if item not in row.tolist():
            row[1:] = row[:-1].copy()
            row[0] = item

    def learn(self) -> None:
        """Counts the pairs of all users' recent items anew."""
        items = len(self._neighbours)
        first, second = (
            np.broadcast_to(side, (len(self.recent), _RECENT, _RECENT)).ravel().astype(np.int64)
            for side in (self.recent[:, :, None], self.recent[:, None, :])
        )
        pairs = (first >= 0) & (second >= 0) & (first != second)
        keys, counts = np.unique(first[pairs] * items + second[pairs], return_counts=True)
        of, other = np.divmod(keys, items)
        order = np.lexsort([-counts, of])
        of, other, counts = of[order], other[order], counts[order]
        place = np.arange(len(of)) - np.searchsorted(of, of)
        kept = place < _NEIGHBOURS
        self._neighbours.fill(-1)
        self._weights.fill(0)
        self._neighbours[of[kept], place[kept]] = other[kept]
        self._weights[of[kept], place[kept]] = np.log1p(counts[kept])

    def scores(self, user: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        """How often candidates `[n, m]` go with what users `[n]` did, and whether they are what they did."""
        found = np.zeros(candidates.shape, np.float32)
        for first in range(0, len(user), len(self._scores)):
            part = slice(first, first + len(self._scores))
            recent = self.recent[user[part]]
            row = np.arange(len(recent))[:, None]
            near = self._neighbours[recent].reshape(len(recent), -1)
            weight = np.where(recent[:, :, None] >= 0, self._weights[recent], 0).reshape(len(recent), -1)
            np.add.at(self._scores, (row, near), weight)
            np.add.at(self._scores, (row, recent), (recent >= 0).astype(np.float32))
            found[part] = self._scores[row, candidates[part]]
            self._scores[row, near] = 0
            self._scores[row, recent] = 0
        return found
