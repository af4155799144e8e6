"""python -m trainer.task: trains the towers on the records of a data folder."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import tensorflow as tf
from rich.console import Console
from rich.table import Table

from preprocessing.config import load_section, resolved_yaml
from preprocessing.console import UserError, run_command
from trainer import dataset
from trainer.config import TrainerConfig
from trainer.loop import Trainer
from trainer.recall import full_catalogue_recall

_AT = (10, 100, 1000)
_HELP = """\
Trains the query and the item tower, then measures recall over the full catalogue on the eval requests. The same
command goes on where an interrupted run left off.

example:
  python -m trainer.task --config configs/mgdspr.yaml --data out/data --job-dir out/job --set trainer.epochs=3
"""


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    flags = argparse.ArgumentParser(
        prog="python -m trainer.task",
        description=_HELP,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("--config", required=True, help="the experiment's YAML; its `trainer` section is read")
    flags.add_argument("--data", required=True, help="the folder that preprocessing wrote")
    flags.add_argument("--job-dir", required=True, help="folder for checkpoints, metrics.json and config.yaml")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    return flags.parse_args(argv)


def claim(job_dir: str, resolved: str) -> None:
    """Takes the job folder for this config; one that holds another's checkpoints is left alone."""
    path = f"{job_dir}/config.yaml"
    if tf.io.gfile.exists(path):
        with tf.io.gfile.GFile(path) as file:
            if file.read() != resolved:
                raise UserError(
                    f"--job-dir {job_dir} belongs to another config; name a new folder, or restore its config"
                )
        return
    tf.io.gfile.makedirs(job_dir)
    with tf.io.gfile.GFile(path, "w") as file:
        file.write(resolved)


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = _arguments(argv)
    config = load_section(flags.config, "trainer", TrainerConfig, flags.set)
    spec = dataset.read_spec(flags.data)
    claim(flags.job_dir, resolved_yaml("trainer", config))
    trainer = Trainer(config, flags.data, spec, flags.job_dir)
    started = time.monotonic()
    ended = trainer.train()
    seconds = round(time.monotonic() - started, 1)
    recall = full_catalogue_recall(trainer.model, flags.data, spec, _AT)
    metrics = {**ended._asdict(), "train_seconds": seconds, **recall}
    with tf.io.gfile.GFile(f"{flags.job_dir}/metrics.json", "w") as file:
        file.write(json.dumps(metrics, indent=1))
    table = Table("metric", "value", title="full catalogue, eval requests")
    for name, value in recall.items():
        table.add_row(name, f"{value:.4f}")
    console = Console()
    console.print(table)
    console.print(f"{ended.step:,} steps in {seconds} s; checkpoints and metrics.json are in {flags.job_dir}")
    return 0


if __name__ == "__main__":
    run_command(main)
