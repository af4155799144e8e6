"""From a catalogue's words and a config to the search of words."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from preprocessing.words.config import WordsConfig
from preprocessing.words.corrections import Corrections, Spellings, build_spellings
from preprocessing.words.expansion import Expansion
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.synonyms import read_synonyms
from preprocessing.words.word_search import WordSearch


def corrected_to(
    words: Collection[bytes], terms: np.ndarray, weights: np.ndarray, config: WordsConfig
) -> Spellings | None:
    """What corrections lead to, of all words of a catalogue and its terms; none where the config wants none."""
    return build_spellings(words, terms, weights) if config.correct and words else None


def build_word_search(
    lists: ListsInGraph, spellings: Spellings | None, config: WordsConfig, text_limits: tuple[int, int]
) -> WordSearch:
    """The search of lists, with synonyms and corrections as the config has them.

    Args:
      lists: of a catalogue, or of a part of it.
      spellings: what corrections lead to, of the whole catalogue.
      config: of the channel.
      text_limits: how many characters and words of a text the analyser keeps.
    """
    expansion = Expansion(read_synonyms(config.synonyms, *text_limits)) if config.synonyms else None
    return WordSearch(lists, expansion, Corrections(spellings) if spellings else None)
