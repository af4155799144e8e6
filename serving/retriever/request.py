"""What is asked: a user's past, conditions, and their fitting into a signature's fixed widths."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from serving.retriever import messages

Shapes = Mapping[str, tuple[int, ...] | None]
PriceRange = tuple[float | None, float | None]  # from and to, None for an open end
OPEN: PriceRange = (None, None)
_CONDITIONS = ("required_terms", "allowed_leaves", "allowed_brands", "excluded_items")


SIGNALS = ("realtime_actions", "realtime_ages", "short_actions", "short_ages")  # of numbers, not of strings
_LARGEST = (1 << 31) - 1


def _is_int32(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST


@dataclass(frozen=True)
class User:
    """What a user did, newest first: queries and item ids. Nobody in particular without any."""

    history_queries: Sequence[str] = ()
    realtime_items: Sequence[str] = ()
    short_items: Sequence[str] = ()
    long_click_items: Sequence[str] = ()
    long_order_items: Sequence[str] = ()
    long_collect_items: Sequence[str] = ()
    # Of the items of today and of the days before: 1 clicked, 2 collected, 3 put into a cart, 4 ordered; and how many
    # seconds ago. 0, as where nothing is given, is unknown.
    realtime_actions: Sequence[int] = ()
    realtime_ages: Sequence[int] = ()
    short_actions: Sequence[int] = ()
    short_ages: Sequence[int] = ()

    @classmethod
    def read(cls, path: str) -> User:
        """From a JSON file of lists by those names; `ValueError` says what is wrong with it."""
        try:
            content = json.loads(Path(path).read_text(encoding="utf-8"))
        except OSError as error:
            raise ValueError(f"{path} cannot be read: {error.strerror}") from None
        except ValueError:
            raise ValueError(f"{path} is not JSON in UTF-8") from None
        return cls.of(content, path)

    @classmethod
    def of(cls, content: object, source: str) -> User:
        """From an object of lists by those names; `ValueError` says what is wrong with what `source` holds."""
        names = [one.name for one in dataclasses.fields(cls)]
        if not isinstance(content, dict) or set(content) - set(names):
            raise ValueError(f"{source}: an object of lists named {', '.join(names)}")
        for name, values in content.items():
            if name in SIGNALS:
                if not isinstance(values, list) or not all(map(_is_int32, values)):
                    raise ValueError(f"{source}: {name} must be a list of whole numbers from 0 to {_LARGEST}")
            elif not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise ValueError(f"{source}: {name} must be a list of strings")
        return cls(**content)


@dataclass(frozen=True)
class Question:
    """One request."""

    query: str
    user: User
    k: int
    required_terms: Sequence[str] = ()
    allowed_leaves: Sequence[str] = ()
    allowed_brands: Sequence[str] = ()
    excluded_items: Sequence[str] = ()
    price_range: PriceRange = OPEN  # an item without a price is in none but the open one
    item_id: str = ""  # whose neighbours are wanted, instead of what answers a query

    def __post_init__(self) -> None:
        low, high = self.price_range
        if low is not None and high is not None and low > high:
            raise ValueError(f"price_range: from {low} to {high} there is nothing; the lower end comes first")

    @property
    def conditions(self) -> list[str]:
        """The names of those it has; `search` takes none of them."""
        given = [name for name in _CONDITIONS if getattr(self, name)]
        return given if self.price_range == OPEN else [*given, "price_range"]

    def inputs(self, shapes: Shapes) -> dict[str, bytes]:
        """The TensorProtos of a signature with these input shapes; what it does not take stays out, but no condition.

        A signature without k embeds: conditions are none of its business.
        """
        unknown = [name for name in self.conditions if name not in shapes]
        if unknown and "k" in shapes:
            raise ValueError(f"this model takes no {', '.join(unknown)}; export it again with this version's serving")
        return {name: self._input(name, shape) for name, shape in shapes.items()}

    def _input(self, name: str, shape: tuple[int, ...] | None) -> bytes:
        if name in ("query", "item_id"):
            return messages.string_tensor([getattr(self, name)], [1])
        if name == "k":
            return messages.int32_tensor([self.k], [1])
        if name == "price_range":
            return messages.float_tensor([math.nan if end is None else end for end in self.price_range], [1, 2])
        owner = self.user if hasattr(self.user, name) else self
        values = list(getattr(owner, name, ()))
        width = shape[1] if shape and len(shape) == 2 and shape[1] >= 0 else len(values)
        if owner is self and len(values) > width:
            raise ValueError(f"{name}: {len(values)} given, this model takes {width}")
        if name in SIGNALS:
            return messages.int32_tensor(values[:width] + [0] * (width - len(values)), [1, width])
        return messages.string_tensor(values[:width] + [""] * (width - len(values)), [1, width])
