"""The `serving.channels.words` section of an experiment: what of an item is read, and how a query is."""

from __future__ import annotations

import numpy as np
from pydantic import Field

from preprocessing.command.experiment import Section


class FieldsConfig(Section):
    """How much a word of each field counts; 0: the field is not read."""

    title: float = Field(1.0, ge=0)
    brand: float = Field(1.0, ge=0)
    description: float = Field(0.5, ge=0)  # says what titles leave out, at a few hundred bytes an item

    @property
    def boosts(self) -> np.ndarray:
        """float32, in the order of `preprocessing.words.item_words.FIELDS`."""
        return np.array([self.title, self.brand, self.description], np.float32)


class WordsConfig(Section):
    """The channel of words."""

    on: bool = True
    fields: FieldsConfig = FieldsConfig()
    synonyms: str | None = None  # a file in Solr's format, read when a version is exported
    correct: bool = True  # a word that the catalogue does not have finds the nearest that it has
