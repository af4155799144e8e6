"""The end of a run: what it counted is judged, and what it staged becomes the output."""

from __future__ import annotations

import collections
import dataclasses
import datetime
from collections.abc import Iterable, Sequence
from typing import Any

import apache_beam as beam
from apache_beam.io.filesystems import FileSystems
from apache_beam.pvalue import AsIter

from preprocessing.command.console import UserError
from preprocessing.data.record_files import write_file
from serving.batch.answer_files import read_table, vectors_of
from serving.batch.feeds import FEEDS
from serving.batch.jobs import Job, generation
from serving.batch.output_folder import REJECTED_FILE, BatchFolder

_COUNTED = ("in", "written", "added", "changed", "unchanged", "computed")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a run ended."""

    manifest: dict[str, Any]
    changed: bool  # whether the output is another than before


def finish(job: Job, before: dict[str, Any] | None) -> Outcome:
    """Judges what the job counted, and puts its files in their places. Broken off anywhere, it can be done again."""
    folder = BatchFolder(job.output)
    now = folder.manifest()
    if now is not None and now["generation"] == generation(before):
        folder.retire(now)
        return Outcome(now, changed=True)
    if before is not None and not folder.staged(""):
        return Outcome(before, changed=False)  # found nothing new, and cleared up
    plan = folder.plan() or _planned(job, folder, before)
    if before is not None and job.comparable(before) and _same(plan, before):
        folder.discard()
        return Outcome({**before, "counts": plan["counts"]}, changed=False)
    folder.publish(plan)
    folder.retire(plan)
    return Outcome(plan, changed=True)


def finish_inside(
    root: beam.Pipeline, written: Sequence[beam.PCollection], job: Job, before: dict[str, Any] | None
) -> None:
    """The same as the job's own last step, behind all that writes: for a launcher that does not wait."""
    (root | "Once" >> beam.Create([job]) | "Finish" >> beam.Map(_finish, before, *(AsIter(one) for one in written)))


def _finish(job: Job, before: dict[str, Any] | None, *_: Iterable[Any]) -> None:
    finish(job, before)


def _planned(job: Job, folder: BatchFolder, before: dict[str, Any] | None) -> dict[str, Any]:
    """The manifest that is to be; written aside before the first file is moved."""
    name = job.name(before)
    totals: collections.Counter[tuple[str, ...]] = collections.Counter()
    totals.update({tuple(key): count for key, count in folder.counts()})
    rejected = {key[1]: count for key, count in sorted(totals.items()) if key[0] == "rejected"}
    excluded = {key[1]: count for key, count in sorted(totals.items()) if key[0] == "excluded"}
    counts = {one: totals[one,] for one in _COUNTED}
    earlier = before["counts"]["written"] if before is not None and job.comparable(before) else 0
    counts["removed"] = earlier - counts["unchanged"] - counts["changed"]
    _judge(job, folder, counts["in"], rejected, counts["written"])
    plan = {
        "mode": job.mode,
        "identity": job.identity,
        "generation": generation(before),
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "format": job.format,
        "shards": job.shards,
        "counts": counts,
        "rejected": rejected,
        "excluded": excluded,
        "rejected_file": f"rejected-{name.split('-')[1]}.jsonl" if rejected else None,
        "files": folder.staged(name),
        "feed": _feed(job, folder, before),
    }
    folder.write_plan(plan)
    return plan


def _feed(job: Job, folder: BatchFolder, before: dict[str, Any] | None) -> dict[str, Any] | None:
    """What a store takes in, with the file that it is set up with, which is written here."""
    name = job.feed_name(before)
    if name is None:
        return None
    feed, table = FEEDS[job.format], read_table(FileSystems.join(folder.staging, folder.staged(job.name(before))[0]))
    setup = f"{name}{feed.setup}"
    write_file(FileSystems.join(folder.staging, setup), [feed.set_up(vectors_of(table).shape[1]).encode()])
    return {"files": folder.staged(f"{name}/"), "setup": setup}


def _same(plan: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a run found nothing but what is in place."""
    settings = all(plan[name] == before[name] for name in ("format", "shards", "rejected", "excluded"))
    return settings and not any(plan["counts"][name] for name in ("added", "changed", "removed", "computed"))


def _judge(job: Job, folder: BatchFolder, records: int, rejected: dict[str, int], written: int) -> None:
    bad = sum(rejected.values())
    share = bad / records if records else 0.0
    listed = ", ".join(f"{reason}: {count}" for reason, count in rejected.items())
    if not written:
        raise UserError(f"--input: none of its {records} records can be used ({listed or 'it is empty'})")
    if share > job.max_rejected_share:
        where = FileSystems.join(folder.staging, REJECTED_FILE)
        raise UserError(
            f"{bad} of {records} records were rejected ({listed}); see {where}; --max-rejected-share allows more"
        )
