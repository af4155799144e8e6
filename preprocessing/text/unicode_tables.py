"""Unicode properties as constant tensors: what a graph needs to normalise and segment without custom ops."""

from __future__ import annotations

import functools
import sys
import unicodedata
from typing import NamedTuple

import numpy as np
import tensorflow as tf

# What a code point's traits hold, in bits: first how it is read once it is case folded.
DECIDES = 1  # the script of the digits and marks behind it; 1, so that it can be counted
VISIBLE = 2  # is part of a word
JOINS = 4  # may be in a word with others
DROPPED = 8  # vanishes
UNSTABLE = 16  # NFKC may change it or its neighbours, or it vanishes: a text without any is left as it is
SCRIPT = 0xFF << 5  # the script it is read in; 0 where that hangs on what is before, or where it stands alone
FOLDING_SHIFT = 13  # the bits above: how far it is above its case folding

PAGE_BITS = 8
PAGE = 1 << PAGE_BITS
_CODE_POINTS = sys.maxunicode + 1
_ASSIGNED = (*range(0xD800), *range(0xE000, 0x40000), *range(0xE0000, 0xE1000))  # no plane between has characters
_VARIATION_SELECTORS = (*range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0))
_ZERO_WIDTH_SPACE = 0x200B
_SEPARATOR, _WORD, _OWN_WORD, _DROPPED = range(4)
_HAN = 17  # ICU's script codes, as tf.strings.unicode_script gives them
_COMMON, _INHERITED = 0, 1


class PageTable(NamedTuple):
    """A map from code point to int32, in pages of which equal ones are stored once."""

    starts: np.ndarray  # [code points / PAGE], where in `values` the page begins
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
    starts = [PAGE * number.setdefault(page.tobytes(), len(number)) for page in pages]
    return PageTable(np.array(starts, np.int32), np.frombuffer(b"".join(number), np.int32))


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
def traits() -> PageTable:
    """What the analyser asks of each code point, in one number."""
    above, every = _above_folding(), np.arange(_CODE_POINTS)
    roles, scripts = _roles()[every - above], _scripts()[every - above]
    alone = (roles == _OWN_WORD) | ((roles == _WORD) & (scripts == _HAN))
    joins = (roles == _WORD) & ~alone
    scripts = np.where(joins & (scripts != _INHERITED), scripts, _COMMON)
    packed = above << FOLDING_SHIFT | scripts << 5
    packed |= DECIDES * (~joins | (scripts != _COMMON)) | VISIBLE * (alone | joins) | JOINS * joins
    packed |= DROPPED * (roles == _DROPPED) | UNSTABLE * (_unstable() | (roles == _DROPPED))
    return _pages(packed)


def _above_folding() -> np.ndarray:
    """How far each code point is above its simple case folding (one code point to one), as Greek's two small sigmas."""
    above = np.zeros(_CODE_POINTS, np.int32)
    for code in _ASSIGNED:
        folded = chr(code).casefold()
        above[code] = code - ord(folded if len(folded) == 1 else chr(code).lower()[0])
    return above


def _unstable() -> np.ndarray:
    """Whether NFKC may change the code point or its neighbours."""
    seconds = set((composites().keys & 0x1FFFFF).tolist()) | set(range(0x1161, 0x11C3))
    flags = np.zeros(_CODE_POINTS, bool)
    for code in _ASSIGNED:
        stable = unicodedata.is_normalized("NFKC", chr(code)) and not unicodedata.combining(chr(code))
        flags[code] = not stable or code in seconds
    return flags


def _roles() -> np.ndarray:
    """What a code point does to a word: ends it, joins it, stands alone (emoji and other symbols), or vanishes."""
    role = np.zeros(_CODE_POINTS, np.int32)
    for code in _ASSIGNED:
        category = unicodedata.category(chr(code))
        if category == "So":
            role[code] = _OWN_WORD
        elif category == "Cf" and code != _ZERO_WIDTH_SPACE:
            role[code] = _DROPPED
        elif category[0] in "LMN":
            role[code] = _WORD
    role[list(_VARIATION_SELECTORS)] = _DROPPED
    return role


def _scripts() -> np.ndarray:
    """ICU's script codes, which Python does not know."""
    with tf.init_scope():
        return tf.strings.unicode_script(np.arange(_CODE_POINTS, dtype=np.int32)).numpy()
