"""python -m benchmarks.ablation: from nothing to docs/results.md, every model and every part of each switched off.

Simulates the default market, preprocesses it, trains every row, evaluates all on the same requests. What is done
is not done again: the same command goes on where it was broken off.

examples:
  python -m benchmarks.ablation --output out/ablation --results docs/results.md
  python -m benchmarks.ablation --output out/ablation --results docs/results.md --seeds 3 --at-once 16
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from benchmarks.ablation_rows import ROWS, Row
from benchmarks.ablation_tables import write_results
from benchmarks.claims import CLAIMS, rivals
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_ROOT = Path(__file__).resolve().parent.parent


class Steps:
    """Commands that are run once: what ended well is noted with what it was."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._path = folder / "done.json"
        self._done: dict[str, Any] = json.loads(self._path.read_text()) if self._path.exists() else {}
        self._writing = threading.Lock()

    def run(self, name: str, module: str, *arguments: str) -> float:
        """Runs `python -m module`, unless the very same ended well before; returns the seconds it took."""
        command = [module, *arguments]
        if self._done.get(name, {}).get("command") == command:
            return self._done[name]["seconds"]
        sys.stderr.write(f"{name}: python -m {' '.join(command)}\n")
        begun = time.monotonic()
        ended = subprocess.run([sys.executable, "-m", *command], cwd=_ROOT, stdout=sys.stderr, check=False)
        if ended.returncode:
            raise SystemExit(ended.returncode)
        seconds = round(time.monotonic() - begun, 1)
        with self._writing:
            self._done[name] = {"command": command, "seconds": seconds}
            aside = self._path.with_suffix(".part")
            aside.write_text(json.dumps(self._done, indent=1))
            aside.rename(self._path)
        return seconds


def side_by_side(rows: Sequence[Row], count: int, train: Callable[[Row], float]) -> dict[str, float]:
    """What `train` says of each row, `count` rows at a time; after a failure none is begun."""
    cores, failed = sorted(os.sched_getaffinity(0)), threading.Event()
    # A small model gains little by a second core, and trainings that share cores wait for each other.
    shares = [set(cores[place::count] or cores) for place in range(count)]

    def begin(row: Row) -> float:
        if failed.is_set():
            raise CancelledError
        try:
            return train(row)
        except BaseException:
            failed.set()
            raise

    with ThreadPoolExecutor(count, initializer=lambda: os.sched_setaffinity(0, shares.pop())) as pool:
        return dict(zip([row.name for row in rows], pool.map(begin, rows), strict=True))


def _train(steps: Steps, row: Row, data: str, jobs: Path, seeds: int, extra: list[str]) -> float:
    """Trains a row, a main one with every seed; returns the seconds of one seed."""
    overrides = [part for one in (*row.overrides, *extra) for part in ("--set", f"trainer.{one}")]
    config = f"configs/{row.config}.yaml"
    place = ("--data", data, "--job-dir", str(jobs / row.name))
    count = seeds if row.main else 1
    name, seeded = (row.name, []) if count == 1 else (f"{row.name} of {count} seeds", ["--seeds", str(count)])
    return steps.run(name, "trainer.task", "--config", config, *place, *seeded, *overrides) / count


def _evaluate(steps: Steps, whole: str, others: Sequence[str], place: Sequence[str], jobs: Path, trained: str) -> Any:
    """The metrics of a row beside others; `trained` stands in the step's name: a row trained anew is evaluated anew."""
    compared = [part for name in others for part in ("--compare", str(jobs / name))]
    steps.run(f"evaluate {whole} {trained}", "trainer.evaluate", "--job-dir", str(jobs / whole), *place, *compared)
    return json.loads((jobs / whole / "metrics.json").read_text())


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.ablation", description=__doc__)
    flags.add_argument(
        "--output", default="out/ablation", help="folder of logs, records and jobs (default %(default)s)"
    )
    flags.add_argument("--results", default="docs/results.md", help="the page to write (default %(default)s)")
    flags.add_argument(
        "--set", action="append", default=[], metavar="A.B=C", help="overrides a trainer key in every row"
    )
    flags.add_argument(
        "--seeds", type=int, default=1, help="seeds of the models and main parts, others have one (default %(default)s)"
    )
    flags.add_argument(
        "--at-once", type=int, default=1, help="trainings side by side, each on its own cores (default %(default)s)"
    )
    given = flags.parse_args(argv)
    for flag in ("seeds", "at_once"):
        if getattr(given, flag) < 1:
            raise UserError(f"--{flag.replace('_', '-')} {getattr(given, flag)}: at least 1")
    folder = Path(given.output).absolute()
    raw, data = str(folder / "raw"), str(folder / "data")
    jobs = folder / ("jobs" if given.seeds == 1 else f"jobs-of-{given.seeds}-seeds")
    steps = Steps(folder)
    steps.run("simulate", "preprocessing.simulate", "--output", raw)
    steps.run("records", "preprocessing.pipeline", "--config", "configs/demo.yaml", "--input", raw, "--output", data)
    seconds = side_by_side(ROWS, given.at_once, lambda row: _train(steps, row, data, jobs, given.seeds, given.set))
    place = ("--data", data, "--judgments", f"{raw}/truth/judgments.jsonl.gz")
    first, *others = [row.name for row in ROWS]
    fused = {first: ("--fuse", "words")}
    wholes = list(dict.fromkeys(claim.whole for claim in CLAIMS))
    compared = {whole: others if whole == first else rivals(whole) for whole in wholes}
    found = {
        whole: _evaluate(steps, whole, compared[whole], (*place, *fused.get(whole, ())), jobs, str(seconds))
        for whole in wholes
    }
    metrics = found[first]
    write_results(Path(given.results), found, jobs)
    main_figures = {name: metrics["models"][name]["recall@10/ordered"]["mean"] for name in metrics["models"]}
    print(json.dumps({"recall@10/ordered": main_figures, "train_seconds": seconds}))
    return 0


if __name__ == "__main__":
    run_command(main)
