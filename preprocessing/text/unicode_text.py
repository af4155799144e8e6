"""The characters of texts in any script: in NFKC, case folded."""

from __future__ import annotations

import tensorflow as tf

from preprocessing.text import unicode_tables
from preprocessing.text.branches import lazy_cond
from preprocessing.text.characters import Characters, joined, visible
from preprocessing.text.nfkc import lookup, nfkc

_MARK = 0x0A  # in no text whose control characters are replaced
_SPACE = 0x20


def unicode_characters(texts: tf.Tensor, max_chars: int) -> tuple[Characters, tf.Tensor]:
    """The characters of texts `[batch]`, any bytes, and whether each begins a word `[n]`."""
    codes, traits = _normalised(_decoded(texts, max_chars))
    folded = codes - tf.bitwise.right_shift(traits, unicode_tables.FOLDING_SHIFT)
    found = visible(folded, traits & unicode_tables.VISIBLE, codes == _MARK)
    # The first of all is a mark, so that every character has one before it.
    return found, ~tf.gather(_continues(traits), found.places - 1)


def _decoded(texts: tf.Tensor, max_chars: int) -> tf.Tensor:
    """The code points int32 `[length]` of all texts, marks around each; what is no text is white space."""
    valid = tf.strings.unicode_transcode(
        texts, "UTF-8", "UTF-8", errors="replace", replacement_char=_SPACE, replace_control_characters=True
    )
    heads = tf.strings.substr(valid, 0, max_chars, unit="UTF8_CHAR")
    return tf.strings.unicode_decode(joined(heads, bytes([_MARK])), "UTF-8")


def _normalised(codes: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Code points in NFKC, but for those that vanish, and their traits."""
    table = unicode_tables.PageTable(*map(tf.constant, unicode_tables.traits()))

    def changed() -> tuple[tf.Tensor, tf.Tensor]:
        normal = nfkc(codes)
        traits = lookup(table, normal)
        kept = tf.where(traits & unicode_tables.DROPPED == 0)
        return tf.gather_nd(normal, kept), tf.gather_nd(traits, kept)

    traits = lookup(table, codes)
    return lazy_cond(tf.reduce_max(traits & unicode_tables.UNSTABLE) > 0, changed, lambda: (codes, traits))


def _continues(traits: tf.Tensor) -> tf.Tensor:
    """Whether each code point but the first, bool `[length - 1]`, belongs to the word of the one before."""
    script = _script_read(traits)
    same = (script[1:] == script[:-1]) | (script[1:] * script[:-1] == 0)
    return same & (traits[1:] & traits[:-1] & unicode_tables.JOINS > 0)


def _script_read(traits: tf.Tensor) -> tf.Tensor:
    """The script each is read in, 0 for any: digits and marks take that of the letters before them."""
    decides = traits & unicode_tables.DECIDES
    scripts = tf.gather_nd(traits, tf.where(decides)) & unicode_tables.SCRIPT
    return tf.gather(scripts, tf.cumsum(decides) - 1)
