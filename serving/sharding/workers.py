"""Work spread over Beam's workers: so many tasks of one kind, each of which leaves a folder on storage that all see."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import apache_beam as beam
from apache_beam.options.pipeline_options import GoogleCloudOptions

from preprocessing.command.console import UserError, counted_progress
from preprocessing.command.runners import beam_options, new_pipeline, run_to_end
from serving.batch.run import JobStopped
from serving.release.acceptance import line_of

_TOLD = ".told"  # behind the name of a task's folder: what the user must mend before it can be done
OWN_FLAGS = (
    "--job-dir",
    "--data",
    "--output",
    "--shards",
    "--fresh",
    "--tombstones",
    "--vectors",
    "--config",
    "--set",
    "--index",
    "--target-recall",
    "--max-regression",
)


class Workers:
    """Beam's, on the runner that the flags name.

    Args:
      flags: Beam's.
      size: bytes of the catalogue: from some on, this machine's cores share the work.
    """

    def __init__(self, flags: Sequence[str], size: int) -> None:
        self._flags, self._size = flags, size
        options = beam_options(flags, OWN_FLAGS, size)  # a mistake in them is told before any work
        if options.view_as(GoogleCloudOptions).template_location is not None:
            raise UserError("--template_location: a build waits for each of its steps; leave the flag out")

    def each(self, name: str, folders: Sequence[Path], do: Callable[[int], None]) -> None:
        """Does every task whose folder is not there; `do(n)` makes `folders[n]`, whole."""
        missing = [number for number, folder in enumerate(folders) if not folder.is_dir()]
        if not missing:
            return
        for number in missing:
            _told(folders[number]).unlink(missing_ok=True)  # a run before this one may have been killed before it read
        pipeline = new_pipeline(beam_options(self._flags, OWN_FLAGS, self._size))
        numbers = pipeline | beam.Create(missing) | "Spread" >> beam.Reshuffle()
        _ = numbers | name >> beam.ParDo(_Do(do, folders))
        with counted_progress(name, len(missing), lambda: sum(folders[one].is_dir() for one in missing)):
            try:
                run_to_end(pipeline)
            except Exception as error:
                raise JobStopped(f"the build stopped: {line_of(error)}; the same command goes on from there") from error
        for number in missing:
            told = _told(folders[number])
            if told.exists():
                raise UserError(told.read_text())
        left = [folders[one] for one in missing if not folders[one].is_dir()]
        if left:
            raise UserError(
                f"{left[0]} is not there after its worker has made it: {name} needs a folder all workers see"
            )


class _Do(beam.DoFn):
    """Makes the folder of a task; what the user must mend is told to whoever started the work, not thrown far away."""

    def __init__(self, do: Callable[[int], None], folders: Sequence[Path]) -> None:
        self._do, self._folders = do, list(folders)

    def process(self, element: int) -> Iterator[int]:
        if not self._folders[element].is_dir():  # an attempt before this one may have made it
            try:
                self._do(element)
            except UserError as error:
                told = _told(self._folders[element])
                told.parent.mkdir(parents=True, exist_ok=True)
                told.write_text(str(error))
        yield element


def _told(folder: Path) -> Path:
    return folder.with_name(f"{folder.name}{_TOLD}")
