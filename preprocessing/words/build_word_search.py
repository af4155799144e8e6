"""From a catalogue's words and a config to the search of words."""

from __future__ import annotations

from preprocessing.words.config import WordsConfig
from preprocessing.words.corrections import Corrections, build_spellings
from preprocessing.words.expansion import Expansion
from preprocessing.words.item_words import ItemWords
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.synonyms import read_synonyms
from preprocessing.words.word_search import WordSearch


def build_word_search(
    lists: ListsInGraph, items: ItemWords, config: WordsConfig, text_limits: tuple[int, int]
) -> WordSearch:
    """The search of lists, with synonyms and corrections as the config has them.

    Args:
      lists: of a catalogue, or of a part of it.
      items: the words of the whole catalogue.
      config: of the channel.
      text_limits: how many characters and words of a text the analyser keeps.
    """
    expansion = Expansion(read_synonyms(config.synonyms, *text_limits)) if config.synonyms else None
    corrections = None
    if config.correct and items.spellings:
        corrections = Corrections(build_spellings(items.spellings, lists.terms.numpy(), lists.weights.numpy()))
    return WordSearch(lists, expansion, corrections)
