"""How a wish becomes a query: in the searcher's words, short or exact, at times mistyped."""

from __future__ import annotations

from typing import NamedTuple

from preprocessing.marketplace.lexicon import Lexicon, misspell
from preprocessing.marketplace.users import Intent

_BROAD = 0.5  # share of first queries that say the noun alone


class Query(NamedTuple):
    """A query's text and what of the intent it says."""

    text: str
    leaf: int
    asked: tuple[int, ...]  # attribute values the words ask for, -1 where they do not


def write_query(
    intent: Intent, refined: int, brand: str, chinese: bool, careless: float, lexicon: Lexicon, draws: list[float]
) -> Query:
    """The query of an intent; each refinement in a session says one attribute more.

    Args:
      intent: what is wanted.
      refined: how many searches of the session came before.
      brand: a brand to name at times, or "".
      draws: at least 24 numbers in [0, 1).
    """
    say = refined + (draws[0] >= _BROAD) + (draws[0] >= 0.88)
    wanted = [number for number, value in enumerate(intent.values) if value >= 0]
    said = set(sorted(wanted, key=lambda number: draws[1 + number])[:say])
    asked = tuple(value if number in said else -1 for number, value in enumerate(intent.values))
    names = lexicon.leaf_names[intent.leaf]
    if chinese:
        words = [lexicon.values[number][value].chinese for number, value in enumerate(asked) if value >= 0]
        return Query("".join([*words, names.chinese]), intent.leaf, asked)
    # Searchers agree on a word more than sellers do: the first is said by most.
    noun = names.query[0] if draws[5] < 0.5 else names.query[int(draws[6] * len(names.query))]
    words = []
    for number, value in enumerate(asked):
        if value >= 0:
            choices = lexicon.values[number][value].query
            words.append(choices[int(draws[7 + number] * len(choices))])
    if brand and draws[11] < 0.08:
        words.insert(0, brand)
    parts = [*words, noun] if draws[12] < 0.75 else [noun, *words]
    typed = " ".join(parts).split()
    mistyped = [
        misspell(word, draws[13 + place % 8]) if draws[13 + place % 8] * 37 % 1 < careless else word
        for place, word in enumerate(typed)
    ]
    return Query(" ".join(mistyped), intent.leaf, asked)
