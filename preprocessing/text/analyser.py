"""The text analyser, in core TensorFlow string ops: the same graph encodes in Beam and in the served model."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import tensorflow as tf

from preprocessing.text.ascii_text import are_ascii, ascii_characters, ascii_letters
from preprocessing.text.branches import lazy_cond
from preprocessing.text.characters import Characters, Strings, first_texts, grams, letters, words
from preprocessing.text.mixed_text import mixed_characters

_GRAM_LENGTH = {"char": 1, "bigram": 2, "trigram": 3}


def analyse(
    text: tf.Tensor,
    grains: Sequence[str],
    max_chars: int = 256,
    max_words: int = 32,
    spelled: tf.Tensor | None = None,
) -> dict[str, tf.RaggedTensor]:
    """Splits texts into grains.

    NFKC, case folded; words end at white space, punctuation and a change of script; a Han character or a symbol
    is a word of its own. Character grams run across words that nothing separates ("红色鞋", "iphone壳").

    Args:
      text: string `[batch]`, any bytes.
      grains: of "char", "bigram", "trigram", "word".
      max_chars: characters kept of each raw text.
      max_words: words kept of each text.
      spelled: of how many texts, the first ones, grains other than words are wanted; of all by default.

    Returns:
      For each grain, strings `[batch or spelled, (grams or words)]`.
    """
    heads = tf.strings.substr(text, 0, max_chars)
    spell = functools.partial(_spell, grains=grains, max_words=max_words, spelled=spelled)
    found = lazy_cond(
        tf.reduce_all(are_ascii(heads)),
        lambda: spell(*ascii_characters(heads), ascii_letters),
        lambda: spell(*mixed_characters(text, max_chars), letters),
    )
    return {
        grain: tf.RaggedTensor.from_row_splits(strings.values, strings.splits, validate=False)
        for grain, strings in zip(grains, found, strict=True)
    }


def _spell(
    characters: Characters,
    starts: tf.Tensor,
    letters_of: Callable[[tf.Tensor], tf.Tensor],
    grains: Sequence[str],
    max_words: int,
    spelled: tf.Tensor | None,
) -> list[Strings]:
    """The grains' strings, of characters whose words' starts `[n]` are given."""
    first = characters if spelled is None else first_texts(characters, spelled)
    own = letters_of(first.codes)
    return [
        words(characters, starts, max_words) if grain == "word" else grams(first, own, _GRAM_LENGTH[grain])
        for grain in grains
    ]
