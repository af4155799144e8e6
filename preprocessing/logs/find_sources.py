"""The sources of a job: for each stream that the config names its files or its table, looked into."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions, PipelineOptions

from preprocessing.command.console import UserError
from preprocessing.config import join_path
from preprocessing.config_input import InputConfig, LogPlace
from preprocessing.logs.columns import columns_of, required_columns
from preprocessing.logs.documents import Document
from preprocessing.logs.parse import Parse, document_loader, parser
from preprocessing.logs.sources import Read, Source, find, has_files, records_in, sniff
from preprocessing.logs.tables import ReadTable, Table, look


def places_of(config: InputConfig, folder: str) -> dict[str, LogPlace]:
    """Where each stream is; of a log that is not there, the catalogue alone is left."""
    catalog: dict[str, LogPlace] = {"catalog": config.catalog} if config.catalog is not None else {}
    if config.format != "streams":
        return {config.format: getattr(config, config.format), **catalog}
    log: dict[str, LogPlace] = {"searches": config.searches, "actions": config.actions}
    there = {stream for stream, place in (log | catalog).items() if _is_there(stream, folder, place)}
    missing = {stream: join_path(folder, log[stream].pattern or "") for stream in log if stream not in there}
    if len(missing) == 1:
        ((stream, path),) = missing.items()
        (other,) = there & log.keys()
        raise UserError(
            f"{stream}: no file matches {path}, though there are {other}; add the {stream}, or take the {other} away "
            "to train on the catalogue alone"
        )
    if missing and catalog and "catalog" not in there:
        products = join_path(folder, catalog["catalog"].pattern or "")
        raise UserError(
            f"no file matches {' or '.join(missing.values())}, nor {products}: neither a log nor a catalogue; check "
            "--input and preprocessing.input in the config"
        )
    return catalog if missing and catalog else log | catalog


def _is_there(stream: str, folder: str, place: LogPlace) -> bool:
    return place.pattern is None or has_files(stream, _folder_of(stream, folder, place.pattern), place.pattern)


def _folder_of(stream: str, folder: str, pattern: str) -> str:
    if not folder and join_path("/", pattern) != pattern:
        raise UserError(f"--input: name the folder of the logs, which preprocessing.input.{stream}.pattern starts from")
    return folder


def sources_of(config: InputConfig, folder: str, flags: Sequence[str] = ()) -> list[Source | Table]:
    """The raw files and tables, each looked into; `flags` are Beam's."""
    cloud = PipelineOptions(list(flags)).view_as(GoogleCloudOptions)
    return [
        _table(stream, place, config, cloud) if place.pattern is None else _files(stream, place.pattern, config, folder)
        for stream, place in places_of(config, folder).items()
    ]


def _files(stream: str, pattern: str, config: InputConfig, folder: str) -> Source:
    source = find(stream, _folder_of(stream, folder, pattern), pattern, columns_of(stream, config))
    _sniff(stream, source.paths[0], records_in(stream, source.paths[0]), config)
    return source


def _table(stream: str, place: LogPlace, config: InputConfig, cloud: GoogleCloudOptions) -> Table:
    if config.bigquery_method == "EXPORT" and not (cloud.temp_location or "").startswith("gs://"):
        raise UserError(
            f"--temp_location: name a folder on gs:// for preprocessing.input.bigquery_method=EXPORT, which writes "
            f"{stream} there as files; DIRECT_READ needs none"
        )
    table = look(stream, place, cloud.project, columns_of(stream, config), required_columns(stream, config))
    if not table.is_query:  # of a query no row is known before it is paid for
        _sniff(stream, table.name, table.head, config)
    return table


def _sniff(stream: str, name: str, records: Iterable[Any], config: InputConfig) -> None:
    parse = functools.partial(_parse_only, parser(stream, config))
    sniff(stream, name, records, document_loader(stream, config), parse)


def reader(source: Source | Table, config: InputConfig) -> beam.PTransform:
    """What reads a source in a pipeline."""
    return Read(source) if isinstance(source, Source) else ReadTable(source, config.bigquery_method)


def _parse_only(parse: Parse, document: Document) -> None:
    parse(document, "", 0, [])
