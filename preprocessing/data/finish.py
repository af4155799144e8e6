"""The last step: what the pipeline staged becomes a data folder, marked whole or failed."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.pvalue import AsIter

from preprocessing.command.console import UserError
from preprocessing.config import PreprocessingConfig
from preprocessing.data.data_folder import FAILED, SUCCESS, DataFolder
from preprocessing.data.stats import too_many_rejected


def finish(folder: DataFolder, config: PreprocessingConfig) -> dict[str, Any]:
    """Puts everything in its place and judges it; returns the statistics. May be repeated."""
    stats = folder.finish(config)
    problem = _problem(stats, config)
    folder.mark(FAILED if problem else SUCCESS, json.dumps({"reason": problem}) if problem else "")
    if problem:
        raise UserError(
            f"{problem}; nothing was marked usable, see {folder.path}/rejected and {folder.path}/stats.json"
        )
    return stats


def finish_inside(
    root: beam.Pipeline, written: Sequence[beam.PCollection], folder: DataFolder, config: PreprocessingConfig
) -> None:
    """The same as a step of the job itself, behind all that writes: for a launcher that does not wait."""
    (root | "Once" >> beam.Create([folder]) | "Finish" >> beam.Map(_finish, config, *(AsIter(one) for one in written)))


def _finish(folder: DataFolder, config: PreprocessingConfig, *_: Iterable[Any]) -> None:
    finish(folder, config)


def _problem(stats: dict[str, Any], config: PreprocessingConfig) -> str | None:
    rejected = too_many_rejected(stats, config.input.max_rejected_share)
    if rejected:
        return f"{rejected}; preprocessing.input.max_rejected_share allows more"
    if not stats["examples"]["train"]:
        return (
            f"no training example came out: no request before {stats['split_at']} has an action on a known item "
            "(preprocessing.split decides that moment)"
        )
    return None
