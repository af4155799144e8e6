"""`preprocessing.input`: where the raw logs are, and what their fields are called."""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from preprocessing.command.console import nearest
from preprocessing.command.experiment import Section

Value = str | bool | int | float
Name = Annotated[str, BeforeValidator(lambda key: key if isinstance(key, str) else json.dumps(key))]  # as JSON has it
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
_TABLE = re.compile(r"(?:[a-z][\w.:-]*\.)?\w+\.[\w$-]+\*?")
_QUERY = re.compile(r"\s*(?:select|with)\s", re.IGNORECASE)
_OF_FIELDS = ("columns", "extract", "values", "defaults", "constants")  # of a stream: each says something by field


def _or_files(given: Any, pattern: str) -> Any:
    """Where nothing else is said, a log is in files of this pattern."""
    return {"pattern": pattern, **given} if isinstance(given, dict) and "bigquery" not in given else given


class LogPlace(Section):
    """Where a log lies: in files, or in BigQuery."""

    pattern: str | None = None  # below --input unless it is absolute or has a scheme; JSON Lines, Parquet or Avro
    bigquery: str | None = None  # project.dataset.table, with a * at its end several; or a query in standard SQL

    @model_validator(mode="after")
    def _one_place(self) -> LogPlace:
        if self.pattern is not None and self.bigquery is not None:
            raise ValueError(f"pattern ({self.pattern}) and bigquery ({self.bigquery}) are both set; keep one of them")
        if self.pattern is None and self.bigquery is None:
            raise ValueError("set pattern, for files, or bigquery, for a table or a query")
        if self.bigquery is not None and not (_TABLE.fullmatch(self.bigquery) or _QUERY.match(self.bigquery)):
            raise ValueError(f"bigquery ({self.bigquery}) is neither project.dataset.table nor a query (SELECT ...)")
        return self

    @property
    def is_table(self) -> bool:
        """Whether `bigquery` names tables, and is no query."""
        return self.bigquery is not None and _TABLE.fullmatch(self.bigquery) is not None


class StreamConfig(LogPlace):
    """Where one raw stream lies and how its columns are called."""

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


class UbiConfig(LogPlace):
    """User Behavior Insights logs: queries and events in one bulk NDJSON (or index<TAB>JSON) pattern."""

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

    @model_validator(mode="before")
    @classmethod
    def _files_by_default(cls, given: Any) -> Any:
        return _or_files(given, "ubi*")


class Ga4Config(LogPlace):
    """Google Analytics 4's export to BigQuery: its tables, or files that were exported from them."""

    user_id: str = "user_pseudo_id"  # a field of each event
    item_id: str = "item_id"  # a field of each of an event's items
    request_id: str = "search_id"  # a parameter that names the search; without it, user, session and words do
    search_parameters: tuple[str, ...] = ("q", "s", "search", "query", "keyword")  # of an address, as GA4 itself
    lists: tuple[str, ...] = Field(())  # ids or names of the lists that show what was searched; none named: all
    actions: dict[str, Literal["click", "collect", "cart", "order"]] = Field(
        {"select_item": "click", "add_to_wishlist": "collect", "add_to_cart": "cart", "purchase": "order"}
    )  # events of other names are excluded by rule, and counted

    @model_validator(mode="before")
    @classmethod
    def _files_by_default(cls, given: Any) -> Any:
        return _or_files(given, "events*")


class InputConfig(Section):
    """The raw logs."""

    format: Literal["streams", "ubi", "ga4"] = "streams"
    catalog: CatalogConfig | None = CatalogConfig(pattern="catalog*")  # null: items are known by id alone
    searches: StreamConfig = StreamConfig(pattern="searches*")
    actions: StreamConfig = StreamConfig(pattern="actions*")
    ubi: UbiConfig = UbiConfig()
    ga4: Ga4Config = Ga4Config()
    bigquery_method: Literal["DIRECT_READ", "EXPORT"] = "DIRECT_READ"  # EXPORT goes through files in --temp_location
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
