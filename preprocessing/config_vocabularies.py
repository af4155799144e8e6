"""The `vocabularies:` part of the `preprocessing:` section: which values have an id of their own."""

from __future__ import annotations

from typing import Any

from pydantic import Field, model_validator

from preprocessing.command.experiment import Section

_MOST_IDS = 2**31 - 1  # of a vocabulary: served towers read int32


class VocabularyConfig(Section):
    """One vocabulary: the most frequent values, the rest in hash buckets."""

    max_size: int = Field(gt=0)
    min_count: int = Field(1, gt=0)
    hash_buckets: int = Field(1, gt=0)

    @model_validator(mode="after")
    def _ids_fit(self) -> VocabularyConfig:
        if self.max_size + self.hash_buckets >= _MOST_IDS:
            raise ValueError(
                f"max_size ({self.max_size:,}) and hash_buckets ({self.hash_buckets:,}) are together more than the "
                f"{_MOST_IDS:,} ids that there can be"
            )
        return self


class VocabulariesConfig(Section):
    """Ids: 0 is padding, then the hash buckets, then the vocabulary, most frequent first.

    With as many hash buckets of items as there is room for, nearly every item has an id of its own, known or not:
    `trainer.<model>.tables.item.hashed_rows` trains them in a fixed table.
    """

    char: VocabularyConfig = VocabularyConfig(max_size=8_000, hash_buckets=16)
    bigram: VocabularyConfig = VocabularyConfig(max_size=50_000, min_count=2, hash_buckets=1_000)
    trigram: VocabularyConfig = VocabularyConfig(max_size=200_000, min_count=2, hash_buckets=1_000)
    word: VocabularyConfig = VocabularyConfig(max_size=100_000, min_count=2, hash_buckets=1_000)
    # A live item counts once, each action on it once more: one that nobody touched is served like an item never seen.
    item: VocabularyConfig = VocabularyConfig(max_size=2_000_000, min_count=3, hash_buckets=100)
    brand: VocabularyConfig = VocabularyConfig(max_size=100_000, hash_buckets=100)
    shop: VocabularyConfig = VocabularyConfig(max_size=200_000, hash_buckets=100)
    leaf: VocabularyConfig = VocabularyConfig(max_size=20_000, hash_buckets=10)
    top: VocabularyConfig = VocabularyConfig(max_size=1_000, hash_buckets=10)

    @model_validator(mode="before")
    @classmethod
    def _over_defaults(cls, given: Any) -> Any:
        """A vocabulary keeps the defaults that an experiment does not name."""
        if not isinstance(given, dict):
            return given
        fields = {name: field.default.model_dump() for name, field in cls.model_fields.items()}
        return {name: {**fields.get(name, {}), **one} if isinstance(one, dict) else one for name, one in given.items()}

    def hash_buckets(self) -> dict[str, int]:
        """The hash buckets of each vocabulary."""
        return {name: getattr(self, name).hash_buckets for name in type(self).model_fields}
