"""Which columns of a stream are read, and which of them must be there."""

from __future__ import annotations

from preprocessing.config_input import STREAM_FIELDS, InputConfig, StreamConfig
from preprocessing.logs.documents import path_of_column
from preprocessing.logs.ga4 import EVENT_FIELDS

_REQUIRED = {
    "catalog": ("item_id", "title"),
    "searches": STREAM_FIELDS["searches"],
    "actions": ("ts", "user_id", "item_id", "action"),
}


def columns_of(stream: str, config: InputConfig) -> tuple[str, ...] | None:
    """The columns of a stream's tables, in files or in BigQuery, that are read; None: all."""
    if stream == "ga4":
        return (*EVENT_FIELDS, config.ga4.user_id)
    settings: StreamConfig | None = getattr(config, stream)
    if not isinstance(settings, StreamConfig):
        return None
    needed = [name for name in STREAM_FIELDS[stream] if name != "vector" or config.vector_width]
    return tuple(path_of_column(settings.columns.get(name, name)) for name in needed)


def required_columns(stream: str, config: InputConfig) -> dict[str, str]:
    """Of the columns those that a table must have, each with what is wrong where it has not."""
    if stream == "ga4":
        of_user = {config.ga4.user_id: "preprocessing.input.ga4.user_id names it"}
        return {**dict.fromkeys(EVENT_FIELDS, "an export of Google Analytics 4 has it"), **of_user}
    settings: StreamConfig | None = getattr(config, stream)
    if not isinstance(settings, StreamConfig):
        return {}
    where = f"preprocessing.input.{stream}.columns"
    found = {path_of_column(theirs): f"{where}.{ours} names it" for ours, theirs in settings.columns.items()}
    put_in = settings.defaults.keys() | settings.constants.keys() | settings.columns.keys()
    missing = {name: f"name the column that is meant in {where}.{name}" for name in _REQUIRED[stream]}
    return found | {name: mend for name, mend in missing.items() if name not in put_in}
