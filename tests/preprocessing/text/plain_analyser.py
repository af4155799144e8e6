"""What the analyser should find, character by character in plain Python."""

from __future__ import annotations

import functools
import unicodedata

import numpy as np
import tensorflow as tf

COMMON, INHERITED, HAN = 0, 1, 17
LENGTHS = {"char": 1, "bigram": 2, "trigram": 3}


def plain_grains(texts: list[bytes], max_chars: int, max_words: int) -> list[dict[str, list[str]]]:
    """The grains of each text."""
    decoded = tf.strings.unicode_decode(
        tf.constant(texts, tf.string), "UTF-8", replacement_char=0x20, replace_control_characters=True
    )
    return [_grains("".join(map(chr, codes[:max_chars])), max_words) for codes in decoded.to_list()]


def _grains(text: str, max_words: int) -> dict[str, list[str]]:
    folded = "".join(map(_folded, unicodedata.normalize("NFKC", text)))
    chunks = [[]]  # type: ignore[var-annotated]
    for one in folded:
        if _vanishes(one):
            continue
        if _is_separator(one):
            chunks.append([])
        else:
            chunks[-1].append(one)
    found = {
        name: ["".join(chunk[at : at + n]) for chunk in chunks for at in range(len(chunk) - n + 1)]
        for name, n in LENGTHS.items()
    }
    return {**found, "word": [word for chunk in chunks for word in _words(chunk)][:max_words]}


def _words(chunk: list[str]) -> list[str]:
    words: list[str] = []
    run, after_alone = COMMON, True
    for one in chunk:
        alone = _stands_alone(one)
        own = COMMON if alone or _script(one) in (COMMON, INHERITED) else _script(one)
        if alone or after_alone or (own != COMMON and run not in (COMMON, own)):
            words.append(one)
            run = own
        else:
            words[-1] += one
            run = own or run
        after_alone = alone
    return words


@functools.cache
def _folded(one: str) -> str:
    return one.casefold() if len(one.casefold()) == 1 else one.lower()[0]


@functools.cache
def _vanishes(one: str) -> bool:
    selector = 0xFE00 <= ord(one) < 0xFE10 or 0xE0100 <= ord(one) < 0xE01F0
    return selector or (unicodedata.category(one) == "Cf" and one != "\u200b")


@functools.cache
def _is_separator(one: str) -> bool:
    return unicodedata.category(one) != "So" and unicodedata.category(one)[0] not in "LMN"


@functools.cache
def _stands_alone(one: str) -> bool:
    return unicodedata.category(one) == "So" or _script(one) == HAN


def _script(one: str) -> int:
    return _scripts()[ord(one)]


@functools.cache
def _scripts() -> list[int]:
    return tf.strings.unicode_script(np.arange(0x110000, dtype=np.int32)).numpy().tolist()
