"""Several sides grouped by one key, as a stream: Beam's CoGroupByKey gathers a key's elements in lists."""

from __future__ import annotations

from collections.abc import Mapping

import apache_beam as beam


class ByKey(beam.PTransform):
    """PCollections of (key, batch) by side -> (key, (side, batch) pairs)."""

    def expand(self, sides: Mapping[str, beam.PCollection]) -> beam.PCollection:
        sided = [batches | f"Of {side}" >> beam.Map(_sided, side) for side, batches in sides.items()]
        return sided | "All sides" >> beam.Flatten() | "Group" >> beam.GroupByKey()


def _sided(keyed: tuple[int, bytes], side: str) -> tuple[int, tuple[str, bytes]]:
    key, batch = keyed
    return key, (side, batch)
