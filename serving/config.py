"""The `serving:` section of an experiment: how a model is exported."""

from __future__ import annotations

import importlib.util
from typing import Literal

from pydantic import Field, field_validator

from preprocessing.command.experiment import Section
from preprocessing.words.config import WordsConfig

Kind = Literal["scann", "portable", "brute_force"]


def scann_installed() -> bool:
    """Whether there is a wheel of ScaNN here; it is not imported for that."""
    return importlib.util.find_spec("scann") is not None


def default_index() -> Kind:
    """ScaNN where it is installed, elsewhere the index that needs nothing but TensorFlow."""
    return "scann" if scann_installed() else "portable"


class WidthsConfig(Section):
    """How many places each list input has; null takes what the data's histories were cut to."""

    history_queries: int | None = Field(None, ge=1)
    realtime_items: int | None = Field(None, ge=1)
    short_items: int | None = Field(None, ge=1)
    long_click_items: int | None = Field(None, ge=1)
    long_order_items: int | None = Field(None, ge=1)
    long_collect_items: int | None = Field(None, ge=1)
    required_terms: int = Field(8, ge=1)
    allowed_leaves: int = Field(16, ge=1)
    allowed_brands: int = Field(16, ge=1)
    excluded_items: int = Field(64, ge=1)  # what a user has seen of some pages


class ScannConfig(Section):
    """ScaNN: a tree, anisotropic hashing, reordering."""

    leaves: int | None = Field(None, ge=1)  # null: near the square root of the catalogue's size
    dims_per_block: int = Field(2, ge=1)
    anisotropic_threshold: float = Field(0.2, gt=0, lt=1)
    training_sample: int = Field(100_000, ge=1)
    int8: bool = False  # reorder by int8 vectors: a quarter of the bytes, a little recall
    exact_below: int = Field(2_000, ge=0)  # smaller catalogues are scored exactly: nothing to gain, leaves too thin


class PortableConfig(Section):
    """Leaves of one size in core TensorFlow ops."""

    leaf_size: int | None = Field(None, ge=1)  # items; null: a quarter of the root of the catalogue's size, or 64
    slack: float = Field(1.1, ge=1)  # room in a leaf over the mean: more keeps neighbours together, but is read in vain
    int8: bool = False  # score by int8 vectors: a quarter of the bytes, a little recall and exactness of scores
    training_sample: int = Field(200_000, ge=1)
    iterations: int = Field(10, ge=1)
    seed: int = 17


class TuningConfig(Section):
    """The search for the cheapest setting that reaches the target."""

    target_recall: float = Field(0.95, gt=0, le=1)  # of the exact answer, at k
    k: int = Field(100, ge=1)
    queries: int = Field(1_000, ge=1)  # validation requests to measure by


class GateConfig(Section):
    """What a version must show before it appears."""

    max_regression: float = Field(0.02, ge=0, le=1)  # Recall@k it may lose against the version in place
    k: int = Field(100, ge=1)
    requests: int = Field(1_000, ge=1)


class ChannelsConfig(Section):
    """What finds items besides their vectors."""

    words: WordsConfig = WordsConfig()


class ServingConfig(Section):
    """How a model is exported."""

    index: Kind = Field(default_factory=default_index)
    default_k: int = Field(100, ge=1)  # of `serving_default`, which takes no k
    max_k: int = Field(10_000, ge=1)  # a larger k is cut to it: a request must not be able to ask for the whole memory
    keep_versions: int = Field(3, ge=1)
    shard_target: str = Field("{name}:8500", pattern=r"^[^{}]*(\{name\}[^{}]*)*$")  # where a shard's model is served
    channels: ChannelsConfig = ChannelsConfig()
    widths: WidthsConfig = WidthsConfig()
    scann: ScannConfig = ScannConfig()
    portable: PortableConfig = PortableConfig()
    tuning: TuningConfig = TuningConfig()
    gate: GateConfig = GateConfig()

    @field_validator("index")
    @classmethod
    def _index_can_be_built(cls, index: Kind) -> Kind:
        if index == "scann" and not scann_installed():
            raise ValueError("scann is not installed here (its wheels are for Linux on x86-64); ask for portable")
        return index
