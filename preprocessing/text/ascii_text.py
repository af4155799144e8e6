"""The characters of texts in ASCII, as most queries are: none needs more than a table of bytes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from preprocessing.text.characters import Characters, follows, joined, visible

_MARK = 0xFF  # in no text of ASCII
_CODES = np.array([ord(chr(byte).lower()) * (byte < 0x80 and chr(byte).isalnum()) for byte in range(0x100)], np.int32)


def are_ascii(heads: tf.Tensor) -> tf.Tensor:
    """Which of string `[batch]` are: bool `[batch]`."""
    return tf.strings.regex_full_match(heads, r"[\x00-\x7f]*")


def ascii_characters(heads: tf.Tensor) -> tuple[Characters, tf.Tensor]:
    """The characters of texts `[batch]`, and whether each begins a word `[n]`."""
    code_units = tf.cast(tf.io.decode_raw(joined(heads, bytes([_MARK])), tf.uint8), tf.int32)
    codes = tf.gather(_CODES, code_units)
    found = visible(codes, codes, code_units == _MARK)
    return found, tf.concat([[True], ~follows(found)], axis=0)
