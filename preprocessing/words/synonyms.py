"""A shop's synonyms, in the format of Solr: which words of a query stand for which others.

    # a comment
    tv, television, television set       each is looked for where one is asked
    trainers, sneakers => running shoes  what stands left is replaced by what stands right

A side is one or several alternatives, of one or several words each; `\\,` is a comma of a word. Of several rules for
the same words all alternatives count.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.text import analyser
from preprocessing.words.item_words import word_hashes
from preprocessing.words.word_lists import NO_TERM

MOST_WORDS = 16  # of all alternatives of a rule together, and of a left side
_COMMA, _ARROW = re.compile(r"(?<!\\),"), "=>"
Phrase = tuple[str, ...]


class Synonyms(NamedTuple):
    """R rules, each with up to S words in up to `alternatives` alternatives."""

    keys: np.ndarray  # int64 [R + 1], rising: hashes of what stands left, joined by blanks; the last is of nothing
    words: np.ndarray  # int64 [R, S], hashes, NO_TERM behind
    alternative_of: np.ndarray  # int32 [R, S], which alternative each is of
    alternatives: int
    longest: int  # words of a left side


def read_synonyms(path: str, max_chars: int, max_words: int) -> Synonyms:
    """Reads a file, its words by the analyser with these limits."""
    try:
        with tf.io.gfile.GFile(path, "rb") as file:
            lines = file.read().decode("utf-8-sig").split("\n")
    except (tf.errors.OpError, UnicodeDecodeError) as error:
        raise UserError(f"serving.channels.words.synonyms: {path} cannot be read: {error}") from None
    rules: dict[Phrase, list[Phrase]] = {}
    for number, line in enumerate(lines, 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        try:
            _add(rules, _phrases(text, max_chars, max_words))
        except ValueError as error:
            raise UserError(f"{path}: line {number}: {error}, got {text!r}") from None
    return as_arrays(rules)


def _phrases(text: str, max_chars: int, max_words: int) -> list[list[Phrase]]:
    """A line's sides, each a list of alternatives."""
    sides = [[one.replace("\\,", ",") for one in _COMMA.split(side)] for side in text.split(_ARROW)]
    if len(sides) > 2:
        raise ValueError("expected one => at most")
    if len(sides) == 1 and len(sides[0]) == 1:
        raise ValueError("expected several words or phrases with commas between, or a => b")
    together = tf.constant([one for side in sides for one in side])
    found = iter(analyser.analyse(together, ["word"], max_chars, max_words)["word"].to_list())
    phrases = [[tuple(word.decode() for word in next(found)) for _ in side] for side in sides]
    if not all(phrase for side in phrases for phrase in side):
        raise ValueError("nothing stands on one side of a comma or of =>")
    return phrases


def _add(rules: dict[Phrase, list[Phrase]], sides: list[list[Phrase]]) -> None:
    for left in sides[0]:
        known = rules.setdefault(left, [])
        known += [one for one in sides[-1] if one not in known]
        if max(len(left), sum(map(len, known))) > MOST_WORDS:
            raise ValueError(f"{' '.join(left)!r} stands for more than {MOST_WORDS} words, or is more")


def as_arrays(rules: dict[Phrase, list[Phrase]]) -> Synonyms:
    """What stands left to the alternatives that stand right."""
    keys = word_hashes(tf.constant([" ".join(left) for left in rules], tf.string)).numpy()
    width = max((sum(map(len, right)) for right in rules.values()), default=0)
    words = np.full((len(rules), width), NO_TERM, np.int64)
    alternative_of = np.zeros(words.shape, np.int32)
    for row, right in enumerate(rules.values()):
        flat = [(word, number) for number, one in enumerate(right) for word in one]
        words[row, : len(flat)] = word_hashes(tf.constant([word for word, _ in flat])).numpy()
        alternative_of[row, : len(flat)] = [number for _, number in flat]
    order = np.argsort(keys)
    return Synonyms(
        np.append(keys[order], 2**63 - 1),
        words[order],
        alternative_of[order],
        max(map(len, rules.values()), default=1),
        max(map(len, rules), default=1),
    )
