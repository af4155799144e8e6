"""The trained towers by their contract alone: two SavedModels from raw strings to vectors."""

from __future__ import annotations

import hashlib
import os

import tensorflow as tf

from preprocessing.command.console import UserError
from serving.catalogue.data_records import Strings
from serving.inputs import ITEM_INPUTS, TOWER_LISTS

_SIGNATURE = "serving_default"
_INPUTS = {"query": {"query", *TOWER_LISTS}, "item": set(ITEM_INPUTS)}


class Tower(tf.Module):
    """One tower, loaded; its vocabularies travel with whatever it is saved in."""

    def __init__(self, loaded: tf.Module, dim: int) -> None:
        super().__init__(name="tower")
        self.saved = loaded  # keeps its variables and tables in the module that is saved
        self.dim = dim

    def __call__(self, inputs: Strings) -> tf.Tensor:
        """Strings by the tower's input names -> float32 `[B, dim]`."""
        vectors = self.saved.signatures[_SIGNATURE](**inputs)["embedding"]
        return tf.ensure_shape(vectors, [None, self.dim])


def load_tower(job_dir: str, name: str) -> Tower:
    """Loads `towers/query` or `towers/item` of a job and holds it against the contract."""
    path = f"{job_dir}/towers/{name}"
    if not tf.io.gfile.exists(f"{path}/saved_model.pb"):
        raise UserError(f"--job-dir {job_dir}: no towers/{name} in it; train it to its end with python -m trainer.task")
    loaded = tf.saved_model.load(path)
    served = loaded.signatures.get(_SIGNATURE)
    inputs = set(served.structured_input_signature[1]) if served else set()
    outputs = served.structured_outputs if served else {}
    if inputs != _INPUTS[name] or "embedding" not in outputs:
        differing = sorted(inputs ^ _INPUTS[name])
        raise UserError(
            f"--job-dir {job_dir}: towers/{name} is of another schema (it differs in {', '.join(differing[:4])}); "
            "write it again with this version's trainer"
        )
    return Tower(loaded, _width(served, name))


def _width(served: tf.types.experimental.ConcreteFunction, name: str) -> int:
    """The width of the vectors; where the graph does not state it, one call tells."""
    width = served.structured_outputs["embedding"].shape[-1]
    if width is None:
        ranks = {"query": 1, **dict.fromkeys(TOWER_LISTS, 2)} if name == "query" else dict.fromkeys(ITEM_INPUTS, 1)
        nothing = {one: tf.fill([1] * rank, "") for one, rank in ranks.items()}
        width = served(**nothing)["embedding"].shape[-1]
    return int(width)


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
