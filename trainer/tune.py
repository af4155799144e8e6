"""python -m trainer.tune: trains a config again and again within its ranges, and keeps the best."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import os
import sys
from collections.abc import Iterator, Sequence

from pydantic import ValidationError

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import USER_MISTAKE, UserError, quiet_native_code, run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from preprocessing.data.spec import read_spec
from trainer.config import TrainerConfig
from trainer.config_keys import with_keys
from trainer.job.job_folder import Job, eval_from
from trainer.training.checkpoints import best_recall
from trainer.tuning.child_process import run_trial
from trainer.tuning.results import draw, print_table, shortly, write_config, write_trials
from trainer.tuning.search import Search, Trial

_HELP = """\
Searches the ranges under `trainer.tune` of a config for the best validation recall (Optuna's TPE). Each trial is a run
of trainer.task in a folder of its own; the same command resumes an interrupted search.

  tune/config.yaml   what is searched                tune/trials/N/      a trial's job, with its towers
  tune/study.log     Optuna's journal                tune/trials.jsonl   each trial: values, state, recall
  tune/best.yaml     the best trial's config         tune/history.png    recall by trial and by each key

examples:
  python -m trainer.tune --config configs/tune.yaml --data out/data --output out/tune
  python -m trainer.tune --config configs/tune.yaml --data out/data --output out/tune --trials 40
  python -m trainer.task --config out/tune/best.yaml --data out/data --job-dir out/best
"""
_FREE = ("distribution", "tune.trials")  # may differ when a search goes on


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        prog="python -m trainer.tune",
        description=_HELP,
    )
    flags.add_argument("--config", required=True, help="the experiment's YAML, with its ranges under trainer.tune")
    flags.add_argument("--data", required=True, help="the folder that preprocessing.pipeline wrote")
    flags.add_argument(
        "--output", required=True, help="folder of the search, on this machine; an earlier search in it is resumed"
    )
    flags.add_argument("--trials", type=int, help="trials in all, including those of a resumed search")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    return flags.parse_args(argv)


def tune(config: TrainerConfig, data_dir: str, folder: str) -> Trial:
    """Searches until `config.tune.trials` are finished, writing what is known after each; returns the best."""
    Job(folder, "--output", _FREE).begin(config, data_dir)
    os.makedirs(f"{folder}/trials", exist_ok=True)
    with _alone(folder):
        search = Search(f"{folder}/study.log", config)
        while search.finished < config.tune.trials:
            trial = search.next()
            _say(f"trial {trial.number}: {', '.join(f'{key} {shortly(value)}' for key, value in trial.values.items())}")
            search.finish(trial, _train(config, trial, data_dir, f"{folder}/trials/{trial.number}"))
            _write_results(search, config, data_dir, folder)
        _write_results(search, config, data_dir, folder)
    if search.best is None:
        raise UserError(f"--output {folder}: none of {search.finished} trials came to its end; the reasons stand above")
    print_table(search.trials, search.best, config.validation.k)
    return search.best


def _train(config: TrainerConfig, trial: Trial, data_dir: str, job_dir: str) -> float | None:
    """The best recall of a trial's job; None where these values cannot be trained with."""
    try:
        write_config(f"{job_dir}.yaml", with_keys(config.without_search(), trial.values))
    except ValidationError as error:
        _say(f"trial {trial.number} cannot be: {error.errors()[0]['msg'].removeprefix('Value error, ')}")
        return None
    status = run_trial(f"{job_dir}.yaml", data_dir, job_dir)
    if status == USER_MISTAKE:  # the trial has said which
        raise SystemExit(USER_MISTAKE)
    if status < 0:
        raise UserError(
            f"trial {trial.number} was ended by signal {-status}, for want of memory perhaps; "
            "run the same command again to go on"
        )
    return best_recall(Job(job_dir)) if status == 0 else None


def _write_results(search: Search, config: TrainerConfig, data_dir: str, folder: str) -> None:
    write_trials(f"{folder}/trials.jsonl", search.trials)
    draw(f"{folder}/history.png", search.trials, config)
    if search.best is not None:
        chosen = {**search.best.values, "tune.chosen_until_ms": max(config.tune.chosen_until_ms, eval_from(data_dir))}
        write_config(f"{folder}/best.yaml", with_keys(config.without_search(), chosen))


@contextlib.contextmanager
def _alone(folder: str) -> Iterator[None]:
    """Holds the folder against a second search at the same time; the system lets go when the process ends."""
    with open(f"{folder}/lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"--output {folder}: another search is at work in it; wait for it, or end it") from None
        yield


def _say(line: str) -> None:
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    overrides = [*flags.set, *([] if flags.trials is None else [f"trainer.tune.trials={flags.trials}"])]
    config = load_section(flags.config, "trainer", TrainerConfig, overrides)
    data_dir, folder = flags.data.rstrip("/"), flags.output.rstrip("/")
    if not config.tune.ranges:
        raise UserError(
            f"{flags.config}: nothing to search; give trainer.tune.ranges a key, as in "
            "optimizer.embedding_rate: {low: 0.01, high: 1, log: true}"
        )
    if not read_spec(data_dir)["examples"]["validation"]:
        raise UserError(f"--data {data_dir}: no validation request in it to choose by; preprocessing.split decides")
    best = tune(config, data_dir, folder)
    print(f"best: trial {best.number}, recall@{config.validation.k} {best.recall:.4f}; {folder}/best.yaml trains it")
    return 0


if __name__ == "__main__":
    quiet_native_code()
    run_command(main)
