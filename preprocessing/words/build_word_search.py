"""From a catalogue's words and a config to the search of words."""

from __future__ import annotations

from preprocessing.words.config import WordsConfig
from preprocessing.words.corrections import Corrections, build_spellings
from preprocessing.words.expansion import Expansion
from preprocessing.words.item_words import ItemWords
from preprocessing.words.lists_in_graph import ListsInGraph
from preprocessing.words.synonyms import read_synonyms
from preprocessing.words.word_lists import WordLists
from preprocessing.words.word_search import WordSearch


def build_word_search(
    in_graph: ListsInGraph, lists: WordLists, items: ItemWords, config: WordsConfig, text_limits: tuple[int, int]
) -> WordSearch:
    """The search of lists in the graph.

    Args:
      in_graph: the lists of a catalogue, or of a part of it.
      lists: those that they were made of.
      items: the words of the whole catalogue.
      config: of the channel.
      text_limits: how many characters and words of a text the analyser keeps.
    """
    expansion = Expansion(read_synonyms(config.synonyms, *text_limits)) if config.synonyms else None
    corrections = Corrections(build_spellings(items.spellings, lists)) if config.correct and items.spellings else None
    return WordSearch(in_graph, expansion, corrections)
