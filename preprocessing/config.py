"""The `preprocessing:` section of an experiment: which logs, joined, counted, split and written how."""

from __future__ import annotations

import json
import re
from pathlib import PurePath
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from preprocessing.command.console import nearest
from preprocessing.command.experiment import Section
from preprocessing.config_vocabularies import VocabulariesConfig

Value = str | bool | int | float
Name = Annotated[str, BeforeValidator(lambda key: key if isinstance(key, str) else json.dumps(key))]  # as JSON has it
Grain = Literal["char", "bigram", "trigram", "word"]
STREAM_FIELDS = {
    "catalog": (
        "item_id",
        "title",
        "brand",
        "shop",
        "category_leaf",
        "category_top",
        "price",
        "in_stock",
        "updated_at",
        "description",
        "vector",
    ),
    "searches": ("request_id", "ts", "user_id", "query", "results"),
    "actions": ("ts", "user_id", "item_id", "action", "request_id"),
}
_OF_FIELDS = ("columns", "extract", "values", "defaults", "constants")  # of a stream: each says something by field


class StreamConfig(Section):
    """Where one raw stream lies and how its columns are called."""

    pattern: (
        str  # below --input unless it is absolute or has a scheme; .jsonl, .jsonl.gz, .jsonl.zst, .ndjson or .parquet
    )
    columns: dict[str, str] = Field({})  # our field name -> theirs, dots descend: `user_id: client.id`
    extract: dict[str, re.Pattern[str]] = Field({})  # what it finds is the value: `item_id: "/p/([0-9]+)"`
    values: dict[str, dict[Name, Value | None]] = Field({})  # what theirs mean; null leaves the record out
    defaults: dict[str, Value] = Field({})  # where a record has nothing
    constants: dict[str, Value] = Field({})  # whatever a record has

    @model_validator(mode="after")
    def _patterns_have_one_group(self) -> StreamConfig:
        for name, pattern in self.extract.items():
            if pattern.groups > 1:
                raise ValueError(f"extract.{name}: {pattern.groups} groups, where one says what the value is")
        return self


class CatalogConfig(StreamConfig):
    """The catalogue's stream."""

    vector_width: int | None = Field(None, gt=0)  # numbers in each record's `vector`; null: there are no vectors

    @model_validator(mode="after")
    def _vectors_have_a_width(self) -> CatalogConfig:
        if "vector" in self.columns and self.vector_width is None:
            raise ValueError("columns names vector: say in vector_width how many numbers it has")
        return self


class UbiConfig(Section):
    """User Behavior Insights logs: queries and events in one bulk NDJSON (or index<TAB>JSON) pattern."""

    pattern: str = "ubi*"
    item_id: str = "event_attributes.object.object_id"  # the path of the item's id in an event
    position: str = "event_attributes.position.ordinal"
    actions: dict[str, Literal["impression", "click", "collect", "cart", "order"]] = Field(
        {
            "impression": "impression",
            "click": "click",
            "item_click": "click",
            "add_to_cart": "cart",
            "purchase": "order",
        }
    )  # events of other names are excluded by rule, and counted


class InputConfig(Section):
    """The raw logs."""

    format: Literal["streams", "ubi"] = "streams"
    catalog: CatalogConfig | None = CatalogConfig(pattern="catalog*")  # null: items are known by id alone
    searches: StreamConfig = StreamConfig(pattern="searches*")
    actions: StreamConfig = StreamConfig(pattern="actions*")
    ubi: UbiConfig = UbiConfig()
    description_words: int = Field(40, ge=0)  # of an item's description that records keep; catalogue requests ask by it
    keep_empty_queries: bool = False  # true for behaviours without queries: the history alone then asks
    max_rejected_share: float = Field(0.05, ge=0, le=1)  # of a stream's records; the job fails past it
    earliest: str = "2000-01-01"  # times outside [earliest, latest) are rejected: broken clocks
    latest: str = "2100-01-01"

    @property
    def vector_width(self) -> int:
        """Of items' vectors; 0 where there are none."""
        return (self.catalog.vector_width if self.catalog is not None else None) or 0

    @model_validator(mode="after")
    def _columns_are_ours(self) -> InputConfig:
        for stream, fields in STREAM_FIELDS.items():
            settings: StreamConfig | None = getattr(self, stream)
            for part in _OF_FIELDS if settings is not None else ():
                for name in getattr(settings, part):
                    if name not in fields:
                        raise ValueError(f"{stream}.{part}: unknown field {name!r}{nearest(name, fields)}")
        return self


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
