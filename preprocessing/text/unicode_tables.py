"""Unicode properties as constant tensors: what a graph needs to normalise and segment without custom ops."""

from __future__ import annotations

import functools
import sys
import unicodedata
from typing import NamedTuple

import numpy as np

SEPARATOR, WORD, OWN_WORD, DROPPED = range(4)
PAGE = 256
_CODE_POINTS = sys.maxunicode + 1
_ASSIGNED = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))  # no plane between has characters
_VARIATION_SELECTORS = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_ZERO_WIDTH_SPACE = 0x200B


class PageTable(NamedTuple):
    """A map from code point to int32, in pages of which equal ones are stored once."""

    page_of: np.ndarray  # [code points / PAGE], index of the page
    values: np.ndarray  # [pages * PAGE]


class Composites(NamedTuple):
    """Canonical composition: a sorted key a pair, `first << 21 | second`, and what it becomes."""

    keys: np.ndarray  # int64
    values: np.ndarray  # int32


class Decompositions(NamedTuple):
    """NFKD of each code point: `sequences[starts[row] : starts[row + 1]]` for `row = rows[code point]`."""

    rows: PageTable  # 0 stands for "itself"
    starts: np.ndarray
    sequences: np.ndarray


def _pages(values: np.ndarray) -> PageTable:
    number: dict[bytes, int] = {}
    pages = values.astype(np.int32).reshape(-1, PAGE)
    page_of = [number.setdefault(page.tobytes(), len(number)) for page in pages]
    return PageTable(np.array(page_of, np.int32), np.frombuffer(b"".join(number), np.int32))


@functools.cache
def decompositions() -> Decompositions:
    """NFKD, Hangul syllables included."""
    rows = np.zeros(_CODE_POINTS, np.int32)
    starts, sequences = [0, 0], []  # type: ignore[var-annotated]
    for code in _ASSIGNED:
        decomposed = unicodedata.normalize("NFKD", chr(code))
        if decomposed != chr(code):
            rows[code] = len(starts) - 1
            sequences.extend(map(ord, decomposed))
            starts.append(len(sequences))
    return Decompositions(_pages(rows), np.array(starts, np.int32), np.array(sequences, np.int32))


@functools.cache
def composites() -> Composites:
    """The primary composites; Hangul is left to arithmetic."""
    pairs = {}
    for code in _ASSIGNED:
        decomposition = unicodedata.decomposition(chr(code))
        if not decomposition or decomposition.startswith("<") or " " not in decomposition:
            continue
        if unicodedata.normalize("NFC", chr(code)) == chr(code):
            first, second = (int(part, 16) for part in decomposition.split())
            pairs[first << 21 | second] = code
    keys = np.array(sorted(pairs), np.int64)
    return Composites(keys, np.array([pairs[key] for key in keys.tolist()], np.int32))


@functools.cache
def combining_classes() -> PageTable:
    """Canonical combining class."""
    classes = np.zeros(_CODE_POINTS, np.int32)
    for code in _ASSIGNED:
        classes[code] = unicodedata.combining(chr(code))
    return _pages(classes)


@functools.cache
def case_folding() -> PageTable:
    """How far each code point is above its simple case folding (one code point to one), as Greek's two small sigmas."""
    above = np.zeros(_CODE_POINTS, np.int32)
    for code in _ASSIGNED:
        folded = chr(code).casefold()
        above[code] = code - ord(folded if len(folded) == 1 else chr(code).lower()[0])
    return _pages(above)


@functools.cache
def unstable() -> PageTable:
    """1 where NFKC may change the code point or its neighbours, so that text without any is left as it is."""
    seconds = set((composites().keys & 0x1FFFFF).tolist()) | set(range(0x1161, 0x11C3))
    flags = np.zeros(_CODE_POINTS, np.int32)
    for code in _ASSIGNED:
        stable = unicodedata.is_normalized("NFKC", chr(code)) and not unicodedata.combining(chr(code))
        flags[code] = not stable or code in seconds
    return _pages(flags)


@functools.cache
def roles() -> PageTable:
    """What a code point does to a word: ends it, joins it, stands alone (emoji and other symbols), or vanishes."""
    role = np.zeros(_CODE_POINTS, np.int32)
    for code in _ASSIGNED:
        category = unicodedata.category(chr(code))
        if category == "So":
            role[code] = OWN_WORD
        elif category == "Cf" and code != _ZERO_WIDTH_SPACE:
            role[code] = DROPPED
        elif category[0] in "LMN":
            role[code] = WORD
    role[list(_VARIATION_SELECTORS)] = DROPPED
    return _pages(role)
