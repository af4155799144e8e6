"""The job folder: what was trained, on what, and how far it came."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import yaml

from preprocessing.command.console import UserError
from preprocessing.command.experiment import Section, load_section, resolved_yaml
from preprocessing.data.spec import read_spec
from preprocessing.data.stats import iso
from trainer.config import TrainerConfig

CONFIG, DATA = "config.yaml", "data.json"
# May differ when a job is resumed: on other machines it is the same job, and it knows nothing of a search around it.
_FREE = ("distribution", "tune", "training.padded", "training.xla")


class Job:
    """`<job-dir>/`, or another folder that belongs to one config and one data folder.

    Args:
      path: the folder.
      flag: by which the user named it.
      free: dotted keys of the config that may differ when the work in it goes on.
    """

    def __init__(self, path: str, flag: str = "--job-dir", free: Sequence[str] = _FREE) -> None:
        self.path = path.rstrip("/")
        self._flag, self._free = flag, free
        self.logs = f"{self.path}/logs"
        self.towers = f"{self.path}/towers"
        self.last_checkpoints = f"{self.path}/checkpoints/last"
        self.best_checkpoints = f"{self.path}/checkpoints/best"

    def begin(self, config: TrainerConfig, data_dir: str) -> None:
        """Claims the folder for this config and this data, or finds that it is theirs already."""
        if tf.io.gfile.exists(f"{self.path}/{CONFIG}"):
            difference = first_difference(self.config(), config, self._free)
            if difference:
                raise UserError(
                    f"{self._flag} {self.path} is of another config: {difference}; "
                    "name another folder, or the same config"
                )
            self.check_data(data_dir)
            return
        tf.io.gfile.makedirs(self.path)
        until = max(config.tune.chosen_until_ms, *map(eval_from, (data_dir, *config.data.older.folders)))
        if config.init.job is not None:
            until = max(until, Job(config.init.job).chosen_until_ms)
        known = {"path": data_dir, "fingerprint": fingerprint(data_dir), "chosen_until_ms": until}
        self.write(DATA, json.dumps(known, indent=1))
        self.write(CONFIG, resolved_yaml("trainer", config))

    def config(self) -> TrainerConfig:
        """The config the job was begun with."""
        path = f"{self.path}/{CONFIG}"
        if not tf.io.gfile.exists(path):
            raise UserError(f"{self._flag} {self.path}: no {CONFIG} in it; train it with python -m trainer.task first")
        return load_section(path, "trainer", TrainerConfig)

    def check_data(self, data_dir: str) -> None:
        """The ids in `data_dir` must mean what they meant to the job."""
        begun = self._begun()
        if begun["fingerprint"] != fingerprint(data_dir):
            raise UserError(
                f"--data {data_dir} has other vocabularies or features than {begun['path']}, on which {self._flag} "
                f"{self.path} was begun: the ids do not match; name that folder, or another job folder"
            )

    def check_unseen(self, data_dir: str) -> None:
        """The eval requests of `data_dir` must lie behind all that the job was trained on and chosen by."""
        self.check_data(data_dir)
        until, begin = self.chosen_until_ms, eval_from(data_dir)
        if begin < until:
            raise UserError(
                f"--data {data_dir}: its eval requests begin at {iso(begin)}, but {self._flag} {self.path} was trained "
                f"on requests and chosen by requests until {iso(until)}; evaluate it on data that ends later"
            )

    @property
    def chosen_until_ms(self) -> int:
        """Until when requests have trained or chosen the job, or those that it goes on from."""
        return int(self._begun()["chosen_until_ms"])

    def _begun(self) -> dict[str, Any]:
        with tf.io.gfile.GFile(f"{self.path}/{DATA}") as file:
            return json.loads(file.read())

    def best_checkpoint(self) -> str:
        """The path of the best checkpoint."""
        found = tf.train.latest_checkpoint(self.best_checkpoints)
        if found is None:
            raise UserError(f"{self._flag} {self.path}: no checkpoint in it yet; train it with python -m trainer.task")
        return found

    def write(self, name: str, content: str | bytes) -> None:
        """Writes a file of the folder; it appears whole or not at all."""
        path = f"{self.path}/{name}"
        with tf.io.gfile.GFile(f"{path}.part", "wb" if isinstance(content, bytes) else "w") as file:
            file.write(content)
        tf.io.gfile.rename(f"{path}.part", path, overwrite=True)


def eval_from(data_dir: str) -> int:
    """The moment from which a data folder's requests are for evaluation."""
    return int(read_spec(data_dir)["eval_from_ms"])


def fingerprint(data_dir: str) -> str:
    """A hash of what gives ids their meaning: the features and the vocabularies."""
    spec = read_spec(data_dir)
    digest = hashlib.sha256()
    for part in ("schema_version", "requests", "catalog", "vocabularies", "text", "prices"):
        digest.update(json.dumps(spec[part], sort_keys=True).encode())
    for path in sorted(tf.io.gfile.glob(f"{data_dir}/vocab/*.txt")):
        digest.update(os.path.basename(path).encode())
        with tf.io.gfile.GFile(path, "rb") as file:
            digest.update(file.read())
    return digest.hexdigest()


def first_difference(begun: TrainerConfig, given: TrainerConfig, free: Sequence[str] = _FREE) -> str | None:
    """The first key that two configs differ in, with both values."""
    one, other = _flat(begun), _flat(given)
    for key in one | other:
        if one.get(key) != other.get(key) and not any(f"{key}.".startswith(f"{name}.") for name in free):
            return f"trainer.{key} was {one.get(key)!r}, now {other.get(key)!r}"
    return None


def _flat(section: Section) -> dict[str, Any]:
    flat: dict[str, Any] = {}

    def walk(prefix: str, node: Any) -> None:
        if isinstance(node, dict) and node:
            for key, value in node.items():
                walk(f"{prefix}.{key}" if prefix else str(key), value)
        else:
            flat[prefix] = node

    walk("", yaml.safe_load(section.model_dump_json()))
    return flat
