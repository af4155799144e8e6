"""Exact top-K over a large catalogue by Beam workers: each embeds and scores files of it, and the best are merged."""

from __future__ import annotations

import io
import uuid
from collections.abc import Iterable, Iterator

import apache_beam as beam
import numpy as np
import tensorflow as tf
from apache_beam.options.pipeline_options import PipelineOptions

from preprocessing.command.runners import new_pipeline, run_to_end
from preprocessing.data.record_files import write_file
from trainer.data.record_stream import counted_files
from trainer.evaluation.exact_top_k import Ranking, exact_top_k, item_vectors
from trainer.job.restore import restore

_GROUP = 512  # requests whose best move as one element


class SearchStopped(Exception):
    """The job broke off on the way; the cause may be the machine's, the cluster's or a file's."""


class SearchFile(beam.DoFn):
    """(first row, path, items) of a catalogue's file -> (first request of a group, what the file has for the group)."""

    def __init__(self, job_dir: str, data_dir: str, queries: str, k: int, memory: int) -> None:
        self._job_dir, self._data_dir, self._path, self._k, self._memory = job_dir, data_dir, queries, k, memory

    def setup(self) -> None:
        self._towers = restore(self._job_dir, self._data_dir)
        (self._queries,) = _read(self._path)

    def process(self, file: tuple[int, str, int]) -> Iterator[tuple[int, Ranking]]:
        first, path, items = file
        vectors = item_vectors(self._towers, self._data_dir, items, self._memory // 2, [path])
        for begin in _groups(self._queries):
            found = exact_top_k(self._queries[begin : begin + _GROUP], vectors, self._k, self._memory // 2)
            yield begin, Ranking(np.where(found.rows >= 0, found.rows + first, -1).astype(np.int32), found.scores)


class Best(beam.CombineFn):
    """Rankings of the same requests over parts of a catalogue -> that over them all; of equals the earlier item."""

    def create_accumulator(self) -> list[Ranking]:
        return []

    def add_input(self, found: list[Ranking], more: Ranking) -> list[Ranking]:
        return [merged([*found, more])]

    def merge_accumulators(self, parts: Iterable[list[Ranking]]) -> list[Ranking]:
        every = [ranking for found in parts for ranking in found]
        return [merged(every)] if every else []

    def extract_output(self, found: list[Ranking]) -> Ranking:
        return found[0]


def merged(rankings: list[Ranking]) -> Ranking:
    """The best `[n, K]` of several rankings `[n, K]`."""
    k = rankings[0].rows.shape[1]
    rows, scores = (np.concatenate(parts, axis=1) for parts in zip(*rankings, strict=True))
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return Ranking(np.take_along_axis(rows, order, axis=1), np.take_along_axis(scores, order, axis=1))


def top_k_by_workers(
    queries: np.ndarray, job_dir: str, data_dir: str, k: int, memory: int, options: PipelineOptions
) -> Ranking:
    """As `exact_top_k` of all items' vectors, for `queries` `[n, d]`.

    Args:
      job_dir: the towers that workers embed items by; a folder of its own, in it, holds what passes between them.
      memory: bytes for a file's vectors and the scores, on each worker.
      options: of Beam.
    """
    folder = f"{job_dir}/search-{uuid.uuid4().hex[:12]}.part"
    tf.io.gfile.makedirs(folder)
    try:
        _write(f"{folder}/queries", queries)
        pipeline = new_pipeline(options)
        search = SearchFile(job_dir, data_dir, f"{folder}/queries", k, memory)
        best = (
            pipeline
            | "Files" >> beam.Create(_files(data_dir))
            | beam.Reshuffle()
            | "Search" >> beam.ParDo(search)
            | "Best" >> beam.CombinePerKey(Best())
        )
        best | "Write" >> beam.MapTuple(lambda begin, found: _write(f"{folder}/best-{begin}", *found))
        try:
            run_to_end(pipeline)
        except Exception as error:
            cause = str(error).strip().splitlines() or [type(error).__name__]
            raise SearchStopped(f"the search by Beam stopped: {cause[-1]}") from error
        parts = [_read(f"{folder}/best-{begin}") for begin in _groups(queries)]
        return Ranking(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))
    finally:
        tf.io.gfile.rmtree(folder)


def _groups(queries: np.ndarray) -> range:
    """Where each group begins; of no query at all there is one."""
    return range(0, max(len(queries), 1), _GROUP)


def _files(data_dir: str) -> list[tuple[int, str, int]]:
    """The catalogue's files that hold an item, each with the row of its first."""
    files = counted_files(data_dir, "catalog")
    firsts = np.cumsum([0, *(file.records for file in files)]).tolist()
    return [(first, *file) for first, file in zip(firsts, files, strict=False) if file.records]


def _write(path: str, *arrays: np.ndarray) -> None:
    content = io.BytesIO()
    np.savez(content, *arrays)
    write_file(path, [content.getvalue()])


def _read(path: str) -> list[np.ndarray]:
    with tf.io.gfile.GFile(path, "rb") as file:
        found = np.load(io.BytesIO(file.read()))
    return [found[name] for name in found.files]
