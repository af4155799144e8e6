"""The characters of texts in ASCII, as most queries are: none needs more than a table of bytes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.text.characters import Characters, follows, joined, visible

_MARK = 0xFF  # in no text of ASCII
_LETTERS = [chr(byte).lower() if byte < 0x80 and chr(byte).isalnum() else "" for byte in range(0x100)]
_CODES = np.array([ord(letter or "\0") for letter in _LETTERS], np.int32)


def is_ascii(heads: tf.Tensor) -> tf.Tensor:
    """Whether all of string `[batch]` are."""
    return tf.reduce_all(tf.strings.regex_full_match(heads, r"[\x00-\x7f]*"))


def ascii_characters(heads: tf.Tensor) -> tuple[Characters, tf.Tensor, tf.Tensor]:
    """The characters of texts `[batch]`, each as a string `[n]`, and whether it begins a word `[n]`."""
    code_units = tf.cast(tf.io.decode_raw(joined(heads, bytes([_MARK])), tf.uint8), tf.int32)
    codes = tf.gather(_CODES, code_units)
    found = visible(codes, codes, code_units == _MARK)
    starts = tf.concat([[True], ~follows(found)], axis=0)
    return found, tf.gather(_LETTERS, found.codes), starts
