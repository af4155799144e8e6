"""The text analyser, in core TensorFlow string ops: the same graph encodes in Beam and in the served model."""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from preprocessing.text.ascii_text import are_ascii, ascii_characters
from preprocessing.text.branches import lazy_cond
from preprocessing.text.characters import first_texts, grams, letters, words
from preprocessing.text.mixed_text import mixed_characters

_GRAM_LENGTH = {"char": 1, "bigram": 2, "trigram": 3}


def analyse(
    text: tf.Tensor,
    grains: Sequence[str],
    max_chars: int = 256,
    max_words: int = 32,
    spelled: tf.Tensor | None = None,
    plain: bool = False,
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
      plain: whether all texts are known to be in ASCII: then the graph has no other way.

    Returns:
      For each grain, strings `[batch or spelled, (grams or words)]`.
    """
    heads = tf.strings.substr(text, 0, max_chars)
    characters, starts = (
        ascii_characters(heads)
        if plain
        else lazy_cond(
            tf.reduce_all(are_ascii(heads)), lambda: ascii_characters(heads), lambda: mixed_characters(text, max_chars)
        )
    )
    first = characters if spelled is None else first_texts(characters, spelled)
    own = letters(first.codes)
    found = {
        grain: words(characters, starts, max_words) if grain == "word" else grams(first, own, _GRAM_LENGTH[grain])
        for grain in grains
    }
    return {
        grain: tf.RaggedTensor.from_row_splits(strings.values, strings.splits, validate=False)
        for grain, strings in found.items()
    }
