"""python -m benchmarks.train: the models against TFRS's stock tutorial, the wait for input and their own products.

All train on the same records on this machine, each in a process of its own that rests while another is measured;
every figure is the median of rounds that alternate between them. The last line of stdout is one JSON object:

  examples_per_s      requests a second (the tutorial's example is one pair of query and item: see pairs_per_s)
  pairs_per_s         positives of those requests a second, to be held against the tutorial
  input_wait_share    of a step's time, the part until the next batch is there
  step_ms             a step of the task's loop, input included
  step_held_ms        a step on one batch at hand
  products_ms         the matrix products of that step alone: each MatMul, BatchMatMul and Einsum that the step
                      runs forward and backward, loops included, in its shapes of that run, and nothing else
  step_over_products  step_held_ms over products_ms
  .._cpu..            the same in seconds of the cores: to be trusted where other work has them as well
  peak_mib            most resident memory while training

example:
  python -m benchmarks.train --data out/data --rounds 3
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.preprocess import PeakMemory
from benchmarks.subject import Subject
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags

_ROOT = Path(__file__).resolve().parent.parent
MODELS = ("mgdspr", "mmse", "dnn")
TUTORIAL = "tfrs_tutorial"


def make_data(folder: Path) -> Path:
    """The simulated market at its default size, through the pipeline."""
    raw, data = folder / "raw", folder / "data"
    for command in (
        ["preprocessing.simulate", "--output", str(raw)],
        ["preprocessing.pipeline", "--config", "configs/demo.yaml", "--input", str(raw), "--output", str(data)],
    ):
        subprocess.run([sys.executable, "-m", *command], cwd=_ROOT, check=True, stdout=subprocess.DEVNULL)
    return data


def measure(data: Path, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    """All figures."""
    stats = json.loads((data / "stats.json").read_text())
    subjects, peaks = [], {}
    for name in (*MODELS, TUTORIAL):
        subjects.append(Subject("benchmarks.train_subject", name, data, batch, steps))
        peaks[name] = PeakMemory(subjects[-1].pid)
        subjects[-1].answer()  # it is ready
    plan = [(one, what) for one in subjects for what in (("train",) if one.name == TUTORIAL else ("train", "wait"))]
    trained = alternate(plan, rounds)
    memory = {name: peak.stop() for name, peak in peaks.items()}
    products = alternate([(one, "products") for one in subjects if one.name != TUTORIAL], rounds)
    for one in subjects:
        one.end()
    speeds = {one.name: examples_per_s(trained[one.name, "train"]) for one in subjects}
    results = {
        name: {
            "examples_per_s": round(speeds[name]),
            "pairs_per_s": round(speeds[name] * stats["lengths"]["positives"]["mean"]),
            "input_wait_share": round(share(trained[name, "wait"]), 4),
            "step_ms": milliseconds(trained[name, "train"], "step"),
            **of_products(products[name, "products"]),
            "peak_mib": memory[name],
        }
        for name in MODELS
    }
    tutorial = {
        "examples_per_s": round(speeds[TUTORIAL]),
        "pairs_per_s": round(speeds[TUTORIAL]),
        "dim": trained[TUTORIAL, "train"][0]["dim"],
        "peak_mib": memory[TUTORIAL],
    }
    return {"batch": batch, "rounds": rounds, "steps": steps, **results, TUTORIAL: tutorial}


def alternate(plan: list[tuple[Subject, str]], rounds: int) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Each measured in turn, `rounds` times; a first round, which compiles, is not counted."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = {(one.name, what): [] for one, what in plan}
    for number in range(rounds + 1):
        for one, what in plan:
            figures = one.ask(what)
            if number:
                found[one.name, what].append(figures)
                short = {k: round(v, 4) for k, v in figures.items() if isinstance(v, float)}
                sys.stderr.write(f"{one.name} {what} {number}/{rounds}: {short}\n")
    return found


def examples_per_s(rounds: list[dict[str, Any]]) -> float:
    """The median speed."""
    return statistics.median(one["examples"] / one["seconds"] for one in rounds)


def share(rounds: list[dict[str, Any]]) -> float:
    """The median share of waiting."""
    return statistics.median(one["waited"] / one["seconds"] for one in rounds)


def milliseconds(rounds: list[dict[str, Any]], name: str) -> float:
    """The median of a time."""
    return round(1000 * statistics.median(one[name] for one in rounds), 1)


def of_products(rounds: list[dict[str, Any]]) -> dict[str, Any]:
    """A step against its products."""
    return {
        "step_held_ms": milliseconds(rounds, "step_held"),
        "products_ms": milliseconds(rounds, "products"),
        "step_held_cpu_ms": milliseconds(rounds, "step_held_cpu"),
        "products_cpu_ms": milliseconds(rounds, "products_cpu"),
        "step_over_products": ratio(rounds, ""),
        "step_over_products_cpu": ratio(rounds, "_cpu"),
        **{name: rounds[0][name] for name in ("count", "giga_multiplications", "largest")},
    }


def ratio(rounds: list[dict[str, Any]], clock: str) -> float:
    """The median of a step over its products."""
    return round(statistics.median(one[f"step_held{clock}"] / one[f"products{clock}"] for one in rounds), 2)


def main(argv: list[str] | None = None) -> None:
    """Measures on given or on simulated records."""
    flags = Flags(prog="python -m benchmarks.train", description=__doc__)
    flags.add_argument("--data", type=Path, help="records of preprocessing.pipeline (default: simulated for this)")
    flags.add_argument("--batch", type=int, default=1024, help="requests, or the tutorial's pairs, a step")
    flags.add_argument("--steps", type=int, default=20, help="steps a round")
    flags.add_argument("--rounds", type=int, default=5, help="rounds, of which the medians are taken")
    arguments = flags.parse_args(argv)
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        data = arguments.data.resolve() if arguments.data else make_data(Path(folder))
        figures = measure(data, arguments.batch, arguments.steps, arguments.rounds)
    print(json.dumps({"cores": os.cpu_count(), "load_before": round(before, 2), **figures}))


if __name__ == "__main__":
    run_command(main)
