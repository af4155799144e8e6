"""python -m benchmarks.days: training that goes on day after day, beside training anew on everything.

A simulated market's first days make the first records and the first job. Then comes day after day: its records from
its logs and the state, and a job that goes on from the day before with `--init-from`, a share of the days before in
each batch (`--older`), at a fifth of the steps that training anew would take. Every few days a job is trained anew on
records of everything so far, and both are evaluated on the same last day. What is done is not done again: the same
command goes on where it was broken off. The last line of stdout is one JSON object.

examples:
  python -m benchmarks.days --output out/days --plot docs/results/days.svg
  python -m benchmarks.days --output out/days-small --items 4000 --users 1000 --history 12 --days 4 --every 2
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.ablation import Steps
from benchmarks.day_logs import all_until, deal_by_day
from benchmarks.days_curve import plot
from preprocessing.command.console import run_command
from preprocessing.command.experiment import load_section
from preprocessing.command.flags import Flags
from trainer.config import TrainerConfig

_FIGURES = ("recall@10/ordered", "recall@10/clicked")
_RECORDS = ("--config", "configs/demo.yaml", "--set", "preprocessing.split.eval_days=1")


class Run(NamedTuple):
    """What is compared, and where."""

    folder: Path
    steps: Steps
    config: str
    sets: list[str]  # of the trainer
    share: float  # of the steps of training anew
    older: int  # days whose records come again

    def records(self, name: str, logs: Path, data: Path, *flags: str) -> None:
        """Makes records."""
        where = ("--input", str(logs), "--output", str(data))
        self.steps.run(f"records {name}", "preprocessing.pipeline", *_RECORDS, *where, *flags)

    def train(self, name: str, data: Path, *flags: str) -> Path:
        """Trains a job."""
        job = self.folder / "jobs" / name
        sets = [part for one in self.sets for part in ("--set", one)]
        where = ("--data", str(data), "--job-dir", str(job))
        self.steps.run(f"train {name}", "trainer.task", "--config", self.config, *where, *sets, *flags)
        return job

    def figures(self, name: str, data: Path, job: Path) -> dict[str, dict[str, float]]:
        """Evaluates a job."""
        where = ("--data", str(data), "--job-dir", str(job))
        self.steps.run(f"evaluate {name}", "trainer.evaluate", *where, "--k", "10,100")
        metrics = json.loads((job / "metrics.json").read_text())
        return {figure: metrics["models"][metrics["job"]][figure] for figure in _FIGURES}


def train_examples(data: Path) -> int:
    """Of a data folder."""
    return int(json.loads((data / "spec.json").read_text())["examples"]["train"])


def steps_anew(run: Run, examples: int) -> int:
    """How many steps training anew takes on so many requests."""
    config = load_section(run.config, "trainer", TrainerConfig, run.sets)
    return max(1, round(config.training.epochs * examples / config.data.from_log))


def follow(run: Run, days: list[Path], every: int) -> list[dict[str, Any]]:
    """Lives through the days; returns what was compared."""
    compared, datas, job, examples = [], list[Path](), None, 0
    for number, logs in enumerate(days):
        data = run.folder / "data" / logs.name
        run.records(logs.name, logs, data, "--state", str(run.folder / "state"))
        examples += train_examples(data)
        anew = steps_anew(run, examples)
        steps = anew if job is None else max(1, round(anew * run.share))
        before = [part for folder in datas[-run.older :] for part in ("--older", str(folder))]
        going_on = ("--init-from", str(job), *before) if job is not None else ()
        job = run.train(logs.name, data, *going_on, "--set", f"trainer.training.steps={steps}")
        datas.append(data)
        if number and (number % every == 0 or logs == days[-1]):
            found = compare(run, days[: number + 1], data, job, anew)
            compared.append({"day": logs.name, "steps": steps, "steps_anew": anew, **found})
    return compared


def compare(run: Run, days: list[Path], data: Path, job: Path, steps: int) -> dict[str, Any]:
    """The newest job beside one that is trained anew, on the same last day."""
    name = f"anew-{days[-1].name}"
    whole = run.folder / "data" / name
    run.records(name, all_until(days, run.folder / "until" / days[-1].name), whole)
    anew = run.train(name, whole, "--set", f"trainer.training.steps={steps}")
    mine, other = run.figures(days[-1].name, data, job), run.figures(name, whole, anew)
    within = {figure: mine[figure]["mean"] >= other[figure]["low"] for figure in _FIGURES}
    return {"going_on": mine, "anew": other, "not_below_the_interval": within}


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.days", description=__doc__)
    flags.add_argument("--output", default="out/days", help="folder of all of it (default %(default)s)")
    flags.add_argument("--config", default="configs/mgdspr.yaml", help="of the jobs (default %(default)s)")
    flags.add_argument("--items", type=int, default=20_000, help="of the market (default %(default)s)")
    flags.add_argument("--users", type=int, default=5_000, help="of the market (default %(default)s)")
    flags.add_argument("--history", type=int, default=20, help="days of the first job (default %(default)s)")
    flags.add_argument("--days", type=int, default=20, help="days that go on from it (default %(default)s)")
    flags.add_argument("--every", type=int, default=5, help="days between two comparisons (default %(default)s)")
    flags.add_argument("--older", type=int, default=7, help="runs whose records come again (default %(default)s)")
    flags.add_argument("--share", type=float, default=0.2, help="of the steps of training anew (default %(default)s)")
    flags.add_argument("--plot", type=Path, help="a file for recall day after day")
    flags.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="overrides a trainer key in every job"
    )
    given = flags.parse_args(argv)
    folder = Path(given.output).absolute()
    steps, raw = Steps(folder), folder / "raw"
    market = ("--items", str(given.items), "--users", str(given.users), "--days", str(given.history + given.days))
    steps.run("simulate", "preprocessing.simulate", "--output", str(raw), *market)
    run = Run(folder, steps, given.config, [f"trainer.{one}" for one in given.set], given.share, given.older)
    compared = follow(run, deal_by_day(raw, folder / "days", given.history), given.every)
    if given.plot:
        plot(compared, _FIGURES, given.plot)
    print(json.dumps({"days": compared}))
    return 0


if __name__ == "__main__":
    run_command(main)
