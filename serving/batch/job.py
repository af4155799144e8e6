"""A batch job: what is asked of a model, of which rows, and where the answers go."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow

from serving.batch.models import BlockHandler
from serving.batch.rows import Row


@dataclasses.dataclass(frozen=True)
class Job:
    """What is asked of a model, and where the answers go."""

    mode: str  # embed or retrieve
    id_name: str
    parse: Callable[[Mapping[str, Any]], Row]
    schema: pyarrow.Schema  # of the rows
    handler: BlockHandler
    identity: dict[str, Any]  # of the model: answers of another are not carried over
    incremental: bool  # whether the output in place is, too, carried over
    output: str
    format: str
    columns: dict[str, str] = dataclasses.field(default_factory=dict)
    shards: int = 16
    max_rejected_share: float = 0.05

    def name(self, before: dict[str, Any] | None) -> str:
        """Of the output's files: no two runs' names meet, so that a reader of the last run's is never disturbed."""
        return f"{'vectors' if self.mode == 'embed' else 'answers'}-{generation(before):05d}"

    def comparable(self, before: dict[str, Any] | None) -> bool:
        """Whether what is in place is of the same model, so that it can be carried over."""
        return before is not None and self.incremental and before["identity"] == self.identity


def generation(before: dict[str, Any] | None) -> int:
    """The number of the run that comes behind one that wrote this manifest."""
    return before["generation"] + 1 if before else 1
