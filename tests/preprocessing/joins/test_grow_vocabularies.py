"""Ids stay: a vocabulary of tomorrow begins with today's."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from preprocessing.joins.grow_vocabularies import grown

WORDS = st.lists(st.sampled_from("abcdefgh"), unique=True)


@given(WORDS, WORDS, st.integers(0, 9))
def test_what_is_known_stays_where_it_is(known: list[str], found: list[str], max_size: int) -> None:
    words = grown(known, found, max_size)
    new = words[len(known) :]
    assert words[: len(known)] == known and len(set(words)) == len(words)
    assert new == [word for word in found if word not in known][: len(new)]
    assert len(words) == max(len(known), min(max_size, len({*known, *found})))
