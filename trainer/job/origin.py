"""The job that another goes on from: whether its weights fit, and which row of its tables each new id had."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.spec import read_spec
from preprocessing.text.vocabulary_files import encoding_of, known_words
from trainer.config import TrainerConfig
from trainer.job.job_folder import Job, first_difference

FLAG = "--init-from"
_BY_NUMBER = "price"  # whose ids are bands, not strings


class Origin:
    """A trained job, as one with another config and other vocabularies sees it.

    Args:
      config: of the job that goes on; its `init.job` is the origin.
      data_dir: the data folder of the job that goes on.
    """

    def __init__(self, config: TrainerConfig, data_dir: str) -> None:
        self.job = Job(str(config.init.job), FLAG)
        self.config = self.job.config()
        self._towers, self._data_dir, self._spec = self.job.towers, data_dir, read_spec(data_dir)
        self._encoding = self._read_encoding()
        self._check_config(config)
        self._check_data()

    @property
    def spec(self) -> dict[str, Any]:
        """The spec of the new data with the origin's vocabularies: its model is made from it."""
        return self._spec | {"vocabularies": self._spec["vocabularies"] | self._encoding["vocabularies"]}

    def places(self, name: str) -> np.ndarray:
        """int64 `[rows]`: for each row of a table the origin's of the same string, -1 where it had none."""
        buckets = self._spec["vocabularies"][name]["hash_buckets"]
        if name == _BY_NUMBER:
            return np.arange(self._spec["vocabularies"][name]["ids"])
        if name == "item":
            buckets = self.config.item_table.hashed_rows or buckets
        shared = 1 + buckets  # padding, and the unknown by their hashes
        rows = {word: row for row, word in enumerate(known_words(self._towers, name), shared)}
        found = (rows.get(word, -1) for word in known_words(self._data_dir, name))
        return np.concatenate([np.arange(shared), np.fromiter(found, np.int64)])

    def _read_encoding(self) -> dict[str, Any]:
        path = f"{self._towers}/encoding.json"
        if not tf.io.gfile.exists(path):
            raise UserError(f"{FLAG} {self.job.path}: no towers in it yet; train it to its end first")
        with tf.io.gfile.GFile(path) as file:
            return json.loads(file.read())

    def _check_config(self, config: TrainerConfig) -> None:
        """What decides on the variables must be the same; all else may change from day to day."""
        decisive = {"model", config.model} | ({"optimizer"} if config.init.optimizer else set())
        free = [name for name in type(config).model_fields if name not in decisive]
        rates = [f"optimizer.{name}" for name in type(config.optimizer).model_fields if name != "dense"]
        difference = first_difference(self.config, config, [*free, *rates])
        if difference:
            raise UserError(f"{FLAG} {self.job.path} does not fit: {difference}; take its value, or leave out {FLAG}")

    def _check_data(self) -> None:
        """The same of the data: vocabularies may differ, but not how the unknown are hashed."""
        known = self._encoding["vocabularies"]
        spec = self._spec if self._encoding["vector_width"] else self._spec | {"vector_width": 0}
        here = dict(_keys(encoding_of(spec, known.keys() & spec["vocabularies"].keys())))
        for key, was in _keys(self._encoding):
            if here.get(key) != was:
                raise UserError(
                    f"{FLAG} {self.job.path} does not fit --data {self._data_dir}: {key} was {was}, now "
                    f"{here.get(key)}; make the records with its value, or leave out {FLAG}"
                )


def _keys(encoding: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What an encoding says, by the keys of the config that say it."""
    yield "preprocessing.input.catalog.vector_width", encoding["vector_width"]
    for part in ("text", "prices"):
        for name, value in encoding.get(part, {}).items():
            yield f"preprocessing.{part}.{name}", value
    for name, one in encoding["vocabularies"].items():
        if name != _BY_NUMBER:
            yield f"preprocessing.vocabularies.{name}.hash_buckets", one["hash_buckets"]
