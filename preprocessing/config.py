"""The `preprocessing:` section of an experiment: which logs, joined, counted, split and written how."""

from __future__ import annotations

from pathlib import PurePath
from typing import Literal

from pydantic import Field, model_validator

from preprocessing.command.experiment import Section
from preprocessing.config_input import InputConfig
from preprocessing.config_vocabularies import VocabulariesConfig

Grain = Literal["char", "bigram", "trigram", "word"]


class JoinConfig(Section):
    """How actions find the request they answer."""

    request_window_s: int = Field(86_400, gt=0)  # an action that names its request counts for it this long
    fallback_window_s: int = Field(1_800, gt=0)  # one that does not: same user, item on the page, this long
    clock_skew_s: int = Field(5, ge=0)  # an action may seem this much earlier than the request it names
    max_user_events: int = Field(10_000, gt=0)  # newest kept; more than this a month is no person


class HistoryConfig(Section):
    """What a user did strictly before the request, newest first."""

    timezone_offset_h: float = Field(0, ge=-14, le=14)  # where the shop's day begins
    short_days: int = Field(10, gt=0)
    long_days: int = Field(30, gt=0)
    queries: int = Field(10, ge=0)
    realtime: int = Field(20, ge=0)
    short: int = Field(30, ge=0)
    long: int = Field(30, ge=0)  # each of click, order, collect

    @model_validator(mode="after")
    def _horizons_in_order(self) -> HistoryConfig:
        if self.long_days <= self.short_days:
            raise ValueError(
                f"long_days ({self.long_days}) must reach further back than short_days ({self.short_days})"
            )
        return self


class StagesConfig(Section):
    """The request's own items."""

    ordered: int = Field(5, gt=0)
    clicked: int = Field(5, gt=0)
    shown: int = Field(8, ge=0)  # shown but not clicked, best positions first


class SplitConfig(Section):
    """Train before validation before eval, by time.

    Eval has the last days, or where days are too coarse the last share of the log's time; validation has the last of
    what is before it.
    """

    eval_days: int | None = Field(3, gt=0)
    eval_share: float | None = Field(None, gt=0, lt=1)
    validation_days: int | None = Field(None, gt=0)  # 1 where neither is set and eval has days
    validation_share: float | None = Field(None, gt=0, lt=1)  # a tenth where neither is set and eval has a share

    @model_validator(mode="after")
    def _one_rule(self) -> SplitConfig:
        if (self.eval_days is None) == (self.eval_share is None):
            raise ValueError("set one of eval_days and eval_share, and the other to null")
        if self.validation_days is not None and self.validation_share is not None:
            raise ValueError("set one of validation_days and validation_share, and the other to null")
        return self


class PricesConfig(Section):
    """A price's id is its band around the median price of the item's leaf; 0 where there is no price."""

    bands: int = Field(11, gt=1)  # the first and the last are open
    ratio: float = Field(1.25, gt=1)  # how much dearer a band is than the one below
    least: int = Field(20, gt=0)  # a leaf of fewer prices takes its top's median, and a top that of all


class TextConfig(Section):
    """What the text analyser keeps of a query or a title."""

    max_chars: int = Field(256, gt=0)  # of the raw text; the rest is cut before it is analysed
    max_words: int = Field(32, gt=0)
    query_grains: tuple[Grain, ...] = ("char", "bigram", "word")  # "trigram" helps languages written with spaces
    title_grains: tuple[Grain, ...] = ("char", "bigram", "word")  # mmse compares each grain of a query with its own

    @model_validator(mode="after")
    def _words_are_there(self) -> TextConfig:
        for name in ("query_grains", "title_grains"):
            if "word" not in getattr(self, name):
                raise ValueError(f"{name} must hold 'word': previous queries and titles are read by it")
        return self

    @property
    def grains(self) -> tuple[Grain, ...]:
        """Every grain in use, each once."""
        return tuple(dict.fromkeys((*self.query_grains, *self.title_grains)))


class OutputConfig(Section):
    """The files that come out."""

    train_shards: int | None = Field(None, gt=0)  # null: of `shard_mb` each, and at least 8
    validation_shards: int | None = Field(None, gt=0)  # null: at least 1
    eval_shards: int | None = Field(None, gt=0)  # null: at least 2
    catalog_shards: int | None = Field(None, gt=0)  # null: at least 2
    shard_mb: int = Field(200, gt=0)  # of a record file
    rejected_lines: int = Field(10_000, gt=0)  # kept of a stream's records with one reason; beyond it a sample
    partition_mb: int = Field(32, gt=0)  # of plain JSON a join partition: what one worker holds at a time


class DriftConfig(Section):
    """Bits of Jensen-Shannon divergence above what sampling gives: 0 for equal shares, 1 where nothing is in both."""

    query: float = Field(0.1, gt=0)
    word: float = Field(0.05, gt=0)  # of queries
    item: float = Field(0.1, gt=0)  # ordered or clicked; and so are its brand, shop, leaf, top and band of price
    brand: float = Field(0.05, gt=0)
    shop: float = Field(0.05, gt=0)
    leaf: float = Field(0.05, gt=0)
    top: float = Field(0.05, gt=0)
    price: float = Field(0.05, gt=0)


class CompareConfig(Section):
    """How far a day's records may be from those of the day before, beyond what sampling gives."""

    requests: int = Field(20_000, gt=0)  # of each split, and as many items: a sample that is read of each folder
    counts: float = Field(2.0, gt=1)  # times as many or as few: lines of a stream, requests, items
    shares: float = Field(0.05, gt=0, le=1)  # change of a share: rejected, used, attributed, unknown to a vocabulary
    empty: float = Field(0.05, gt=0, le=1)  # change of the share of records in which a field is empty
    lengths: float = Field(0.25, gt=0, le=1)  # change of a list's mean length, as a share of the longer
    new: float = Field(0.25, gt=0, le=1)  # of a vocabulary's uses today, by words that it did not have
    gone: float = Field(0.25, gt=0, le=1)  # of its uses the day before, by words that it no longer has
    drift: DriftConfig = DriftConfig()


class PreprocessingConfig(Section):
    """The `preprocessing:` section of an experiment."""

    seed: int = 17
    input: InputConfig = InputConfig()
    join: JoinConfig = JoinConfig()
    history: HistoryConfig = HistoryConfig()
    stages: StagesConfig = StagesConfig()
    split: SplitConfig = SplitConfig()
    vocabularies: VocabulariesConfig = VocabulariesConfig()
    prices: PricesConfig = PricesConfig()
    text: TextConfig = TextConfig()
    output: OutputConfig = OutputConfig()
    compare: CompareConfig = CompareConfig()


def join_path(folder: str, pattern: str) -> str:
    """`pattern` below `folder`, unless it is a path of its own."""
    if "://" in pattern or PurePath(pattern).is_absolute():
        return pattern
    from apache_beam.io.filesystems import FileSystems  # after the flags are read: `--help` does not wait for it

    return FileSystems.join(folder, pattern)
