"""python -m trainer.task: trains a model on the records of `preprocessing.pipeline`."""

from __future__ import annotations

import argparse
import json
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import UserError, fail, quiet_native_code, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from trainer.config import TrainerConfig

if TYPE_CHECKING:  # TensorFlow comes with it
    from trainer.training.distribution import Placement

_HELP = """\
Trains the model of a config and writes its towers. The same command resumes an interrupted run.

examples:
  python -m trainer.task --config configs/mgdspr.yaml --data out/data --job-dir out/mgdspr
  python -m trainer.task --config configs/mgdspr.yaml --data out/data --job-dir out/mgdspr-seeds --seeds 3
  python -m trainer.task --config configs/mgdspr.yaml --data out/data --job-dir out/no-history \\
      --set trainer.mgdspr.grains.history=false --set trainer.mgdspr.horizons.realtime.on=false
  python -m trainer.task --config configs/mgdspr.yaml --data days/2/data --job-dir days/2/job \\
      --init-from days/1/job --older days/1/data --set trainer.training.steps=200
"""


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        prog="python -m trainer.task",
        description=_HELP,
    )
    flags.add_argument("--config", required=True, help="the experiment's YAML; its `trainer` section is read")
    flags.add_argument("--data", required=True, help="the folder that preprocessing.pipeline wrote")
    flags.add_argument(
        "--job-dir", required=True, help="folder for checkpoints, logs and towers; resumed if it has checkpoints"
    )
    flags.add_argument(
        "--seeds", type=int, help="train SEEDS jobs, <job-dir>/seed-17 and on, which trainer.evaluate takes as one"
    )
    flags.add_argument(
        "--init-from",
        metavar="JOB",
        help="the folder of a trained job to go on from; rows of its tables are found by their strings "
        "(trainer.init.optimizer=false starts the optimizer anew)",
    )
    flags.add_argument(
        "--older",
        action="append",
        metavar="DATA",
        help="a data folder of earlier days, of which trainer.data.older.share of each batch is; may be given again",
    )
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    return flags.parse_args(argv)


def config_of(flags: argparse.Namespace) -> TrainerConfig:
    """The config, with what the flags say of earlier days."""
    days = {"trainer.init.job": flags.init_from, "trainer.data.older.folders": flags.older}
    given = [f"{key}={json.dumps(value)}" for key, value in days.items() if value]
    return load_section(flags.config, "trainer", TrainerConfig, [*flags.set, *given])


def train(config: TrainerConfig, data_dir: str, job_dir: str, placement: Placement | None = None) -> float | None:
    """Trains to the end and writes the towers; returns the best recall of the validations.

    Args:
      placement: where; as the config says, unless it was made before. A process can make one of several machines once.
    """
    import tensorflow as tf  # after the flags are read: `--help` does not wait for it

    from preprocessing.data.spec import read_spec
    from trainer.data.older_days import check_older
    from trainer.job.job_folder import Job
    from trainer.job.origin import Origin
    from trainer.job.served_towers import write_towers
    from trainer.training.distribution import placement_of
    from trainer.training.loop import Trainer
    from trainer.training.parameter_servers import ServersTrainer

    spec = read_spec(data_dir)
    placement = placement or placement_of(config.distribution)
    tf.keras.utils.set_random_seed(config.seed)
    tf.keras.mixed_precision.set_global_policy("mixed_bfloat16" if config.training.mixed_precision else "float32")
    job = Job(job_dir)
    check_older(config.data.older.folders, data_dir)
    if config.init.job is not None:
        Origin(config, data_dir)  # before the folder is claimed: it can be refused
    if placement.chief:
        job.begin(config, data_dir)
    trainer = ServersTrainer if config.distribution.strategy == "parameter_server" else Trainer
    recall = trainer(config, data_dir, job, placement, spec).run()
    if placement.chief:
        write_towers(job, data_dir)
    return recall


def run(flags: argparse.Namespace) -> float | None:
    """Trains as the flags say; returns the best recall, of several seeds the last one's."""
    if flags.seeds is not None and flags.seeds < 1:
        raise UserError(f"--seeds {flags.seeds}: at least 1")
    config = config_of(flags)
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    from trainer.job.job_folder import Job
    from trainer.job.seed_folders import runs
    from trainer.training.cluster import read_task
    from trainer.training.distribution import placement_of
    from trainer.training.loop import Stopped
    from trainer.training.parameter_servers import check_config
    from trainer.training.servers import serve

    if config.distribution.strategy == "parameter_server":
        check_config(config, flags.seeds)
        task = read_task(config.distribution.strategy)
        if task.type != "chief":
            serve(task, Job(flags.job_dir))
            return None
    data_dir, recall = flags.data.rstrip("/"), None
    placement = placement_of(config.distribution)
    for one, job_dir in runs(config, flags.job_dir.rstrip("/"), flags.seeds):
        try:
            recall = train(one, data_dir, job_dir, placement)
        except Stopped as stopped:
            fail(str(stopped), status=1)
        found = "" if recall is None else f"best {one.validation.figure} {recall:.4f}; "
        print(f"{found}towers are in {job_dir}/towers")
    return recall


def main(argv: list[str] | None = None) -> int:
    """The command."""
    run(arguments(argv))
    return 0


if __name__ == "__main__":
    quiet_native_code()
    run_command(main)
