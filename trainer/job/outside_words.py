"""A job's vectors of words from elsewhere: read once, kept in its folder, so that nothing later asks for the file."""

from __future__ import annotations

import io
import json

import numpy as np
import tensorflow as tf

from trainer.config import TrainerConfig
from trainer.data.word_vectors import read_word_vectors
from trainer.job.job_folder import Job

_ROWS, _FOUND = "word_vectors.npy", "word_vectors.json"


def kept_words(job: Job) -> np.ndarray | None:
    """float32 `[ids, w]`, zeros where a word has none; None for a job that has no such vectors."""
    path = f"{job.path}/{_ROWS}"
    if not tf.io.gfile.exists(path):
        return None
    with tf.io.gfile.GFile(path, "rb") as file:
        return np.load(io.BytesIO(file.read()))


def outside_words(config: TrainerConfig, data_dir: str, job: Job, chief: bool) -> np.ndarray | None:
    """Those that a job was begun with, else those that its config names, which the chief keeps and tells of."""
    kept = kept_words(job)
    if kept is not None or not config.word_table.vectors:
        return kept
    found = read_word_vectors(config.word_table, data_dir, f"trainer.{config.model}.tables.word.vectors")
    if chief:
        shares = {"of_words": found.of_words, "of_occurrences": found.of_occurrences}
        said = {"vectors": config.word_table.vectors, "width": found.rows.shape[1], "found": shares}
        job.write(_FOUND, json.dumps(said, indent=1))
        content = io.BytesIO()
        np.save(content, found.rows)
        job.write(_ROWS, content.getvalue())
        print(
            f"word vectors of {config.word_table.vectors}, {found.rows.shape[1]} wide: found {found.of_words:.1%} "
            f"of the vocabulary, {found.of_occurrences:.1%} of what queries and titles say"
        )
    return found.rows
