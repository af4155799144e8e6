"""The trained towers by their contract alone: two SavedModels from ids to vectors, and what ids are made by."""

from __future__ import annotations

import hashlib
import json
import os
from typing import NamedTuple

import tensorflow as tf

from preprocessing.command.console import UserError
from preprocessing.data.features import HORIZONS, ITEM_IDS, VECTOR
from preprocessing.text.vocabulary_files import Vocabularies
from serving.inputs import SIGNAL_LISTS

GRAMS = ("char", "bigram", "trigram", "word")
Features = dict[str, tf.Tensor]  # dense int32 ids, padded with 0, by a tower's columns; `vector` is float32
_ALL, _QUERY_ALONE = "embed", "embed_query_alone"
_SIGNATURES = {"query": (_ALL, _QUERY_ALONE), "item": (_ALL,)}
_COLUMNS = {
    "query": {
        *(f"query_{gram}" for gram in GRAMS),
        "history_word",
        *(f"{horizon}_{name}" for horizon in HORIZONS for name in ITEM_IDS),
        *SIGNAL_LISTS,
    },
    "item": {*(f"title_{gram}" for gram in GRAMS), *ITEM_IDS, VECTOR},
}


class Tower(tf.Module):
    """One tower, loaded."""

    def __init__(self, loaded: tf.Module) -> None:
        super().__init__(name="tower")
        self.saved = loaded  # keeps its variables in the module that is saved
        served = loaded.signatures[_ALL]
        self.columns = frozenset(served.structured_input_signature[1])
        self.dim = int(served.structured_outputs["embedding"].shape[-1])

    def __call__(self, features: Features) -> tf.Tensor:
        """All columns -> float32 `[B, dim]`."""
        return self.saved.signatures[_ALL](**features)["embedding"]

    def query_alone(self, features: Features) -> tf.Tensor:
        """The query's own columns -> float32 `[B, dim]`, for a user without any past."""
        return self.saved.signatures[_QUERY_ALONE](**features)["embedding"]


class Towers(NamedTuple):
    """A job's two, and the vocabularies that it was trained with."""

    query: Tower
    item: Tower
    vocabularies: Vocabularies


def load_towers(job_dir: str) -> Towers:
    """Loads `towers/` of a job."""
    towers = Towers(load_tower(job_dir, "query"), load_tower(job_dir, "item"), load_vocabularies(job_dir))
    if towers.query.dim != towers.item.dim:
        raise UserError(
            f"--job-dir {job_dir}: towers/query gives vectors of width {towers.query.dim}, "
            f"towers/item of width {towers.item.dim}; they are not of one job"
        )
    return towers


def load_tower(job_dir: str, name: str) -> Tower:
    """Loads `towers/query` or `towers/item` of a job and holds it against the contract."""
    path = f"{job_dir}/towers/{name}"
    if not tf.io.gfile.exists(f"{path}/saved_model.pb"):
        raise no_towers(job_dir, name)
    loaded = tf.saved_model.load(path)
    if not set(_SIGNATURES[name]) <= set(loaded.signatures):
        raise _of_another_format(job_dir, name)
    tower = Tower(loaded)
    if not tower.columns <= _COLUMNS[name]:
        raise _of_another_format(job_dir, name)
    return tower


def no_towers(job_dir: str, name: str) -> UserError:
    """That a job has none, and what would do."""
    seeds = [path.removesuffix("/towers") for path in sorted(tf.io.gfile.glob(f"{job_dir}/seed-*/towers"))]
    cure = f"it holds a job a seed: name one, such as {seeds[0]}" if seeds else "train it with python -m trainer.task"
    return UserError(f"--job-dir {job_dir}: no towers/{name} in it; {cure}")


def load_vocabularies(job_dir: str) -> Vocabularies:
    """The vocabularies that a job was trained with, whatever the data folder's are by now."""
    path = f"{job_dir}/towers/encoding.json"
    if not tf.io.gfile.exists(path):
        raise _of_another_format(job_dir, "encoding.json")
    with tf.io.gfile.GFile(path) as file:
        encoding = json.loads(file.read())
    return Vocabularies(f"{job_dir}/towers/vocab", encoding, encoding["vocabularies"])


def _of_another_format(job_dir: str, name: str) -> UserError:
    return UserError(
        f"--job-dir {job_dir}: towers/{name} is of another format or not there; python -m trainer.task --config "
        f"{job_dir}/config.yaml --job-dir {job_dir} --data (the job's own) writes it again without more training"
    )


def towers_hash(job_dir: str) -> str:
    """A hash over every file of the two towers."""
    digest = hashlib.sha256()
    for folder, _, names in sorted(tf.io.gfile.walk(f"{job_dir}/towers")):
        for name in sorted(names):
            path = os.path.join(folder, name)
            digest.update(os.path.relpath(path, job_dir).encode())
            with tf.io.gfile.GFile(path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
    return digest.hexdigest()
