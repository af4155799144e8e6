"""The text analyser, in core TensorFlow string ops: the same graph encodes in Beam and in the served model."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from preprocessing.text import unicode_tables
from preprocessing.text.nfkc import lookup, nfkc

_SPACE = 0x20
_HAN = 17  # ICU's script codes, as tf.strings.unicode_script gives them
_COMMON, _INHERITED = 0, 1
_GRAM_LENGTH = {"char": 1, "bigram": 2, "trigram": 3}


def analyse(
    text: tf.Tensor, grains: Sequence[str], max_chars: int = 256, max_words: int = 32
) -> dict[str, tf.RaggedTensor]:
    """Splits texts into grains.

    NFKC, case folded; words end at white space, punctuation and a change of script; a Han character or a symbol
    is a word of its own. Character grams run across words that nothing separates ("红色鞋", "iphone壳").

    Args:
      text: string `[batch]`, any bytes.
      grains: of "char", "bigram", "trigram", "word".
      max_chars: characters kept of each raw text.
      max_words: words kept of each text.

    Returns:
      For each grain, strings `[batch, (grams or words)]`.
    """
    characters, rows, batch = _characters(text, max_chars)
    role = lookup(unicode_tables.roles(), characters)
    script = tf.strings.unicode_script(characters)
    role = tf.where((script == _HAN) & (role == unicode_tables.WORD), unicode_tables.OWN_WORD, role)
    visible = role != unicode_tables.SEPARATOR
    chunk = _chunks(rows, role)
    parts = [tf.boolean_mask(part, visible) for part in (characters, rows, chunk, role, script)]
    found = {}
    for grain in grains:
        if grain == "word":
            found[grain] = _words(parts, batch)[:, :max_words]
        else:
            found[grain] = _grams(parts[0], parts[1], parts[2], length=_GRAM_LENGTH[grain], batch=batch)
    return found


def _characters(text: tf.Tensor, max_chars: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Normalised, case-folded code points, flat, the row of each, and the number of rows."""
    decoded = tf.strings.unicode_decode(
        text, "UTF-8", errors="replace", replacement_char=_SPACE, replace_control_characters=True
    )
    decoded = nfkc(decoded[:, :max_chars])
    codes, rows = decoded.values, tf.cast(decoded.value_rowids(), tf.int32)
    codes -= lookup(unicode_tables.case_folding(), codes)
    kept = lookup(unicode_tables.roles(), codes) != unicode_tables.DROPPED
    return tf.boolean_mask(codes, kept), tf.boolean_mask(rows, kept), tf.size(text)


def _differs(values: tf.Tensor) -> tf.Tensor:
    """Whether each value differs from the one before; the first does."""
    return tf.concat([tf.ones_like(values[:1], tf.bool), values[1:] != values[:-1]], axis=0)


def _chunks(rows: tf.Tensor, role: tf.Tensor) -> tf.Tensor:
    """Numbers the stretches of text that no separator breaks."""
    breaks = _differs(rows) | (role == unicode_tables.SEPARATOR)
    return tf.cumsum(tf.cast(breaks, tf.int32))


def _words(parts: Sequence[tf.Tensor], batch: tf.Tensor) -> tf.RaggedTensor:
    codes, rows, chunk, role, script = parts
    alone = role == unicode_tables.OWN_WORD
    new_chunk = _differs(chunk)
    run = _script_run(script, alone, new_chunk)
    before = tf.concat([run[:1], run[:-1]], axis=0)
    script_change = (run != before) & (run != _COMMON) & (before != _COMMON)
    after_alone = tf.concat([tf.zeros_like(alone[:1]), alone[:-1]], axis=0)
    starts = new_chunk | alone | after_alone | script_change
    start_at = tf.boolean_mask(tf.range(tf.size(codes)), starts)
    characters = tf.RaggedTensor.from_row_starts(codes, start_at, validate=False)
    words = tf.strings.unicode_encode(characters, "UTF-8")
    return tf.RaggedTensor.from_value_rowids(words, tf.gather(rows, start_at), nrows=batch, validate=False)


def _script_run(script: tf.Tensor, alone: tf.Tensor, new_chunk: tf.Tensor) -> tf.Tensor:
    """The script each character is read in: digits and marks take that of the letters before them."""
    known = ((script != _COMMON) & (script != _INHERITED)) | alone | new_chunk
    own = tf.where(alone | (script == _INHERITED), _COMMON, script)
    latest = tf.cumsum(tf.cast(known, tf.int32)) - 1
    return tf.gather(tf.boolean_mask(own, known), latest)


def _grams(codes: tf.Tensor, rows: tf.Tensor, chunk: tf.Tensor, length: int, batch: tf.Tensor) -> tf.RaggedTensor:
    windows = tf.maximum(tf.size(codes) - length + 1, 0)
    whole = chunk[:windows] == chunk[length - 1 :]
    starts = tf.boolean_mask(tf.range(windows), whole)
    grams = tf.gather(codes, starts[:, None] + tf.range(length)[None, :])
    encoded = tf.strings.unicode_encode(grams, "UTF-8")
    return tf.RaggedTensor.from_value_rowids(encoded, tf.gather(rows, starts), nrows=batch, validate=False)
