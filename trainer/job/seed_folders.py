"""A folder of seeds: one config trained once a seed, in `<job-dir>/seed-17`, `<job-dir>/seed-18` and so on."""

from __future__ import annotations

import os
from collections.abc import Iterator

import tensorflow as tf

from preprocessing.command.console import UserError
from trainer.config import TrainerConfig
from trainer.job.job_folder import CONFIG

_NAME = "seed-"


def jobs_in(folder: str) -> list[str]:
    """The jobs of a folder of seeds, by seed; or the folder itself, which is one job."""
    found = [os.path.dirname(path) for path in tf.io.gfile.glob(f"{folder}/{_NAME}*/{CONFIG}")]
    return sorted(found, key=lambda job: int(job.rpartition(_NAME)[2])) or [folder]


def runs(config: TrainerConfig, folder: str, seeds: int | None) -> Iterator[tuple[TrainerConfig, str]]:
    """What `--seeds` asks for: (config, job folder) of each seed from the config's own on; without it, of one job."""
    known = jobs_in(folder)
    if seeds is None:
        if known != [folder]:
            raise UserError(f"--job-dir {folder} holds {len(known)} jobs, one a seed; give --seeds, or another folder")
        yield config, folder
        return
    if tf.io.gfile.exists(f"{folder}/{CONFIG}"):
        raise UserError(f"--job-dir {folder} is one job; name another folder for --seeds {seeds}")
    for seed in range(config.seed, config.seed + seeds):
        yield config.model_copy(update={"seed": seed}), f"{folder}/{_NAME}{seed}"
