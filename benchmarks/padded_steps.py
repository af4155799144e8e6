"""python -m benchmarks.padded_steps: a model's steps on ragged lists, on padded ones, and on padded ones compiled.

All in one process, on the device that TensorFlow finds; each figure is the median of rounds that alternate between the
modes, behind one round that compiles. The last line of stdout is one JSON object: by mode examples a second, and the
first round's seconds.

example:
  python -m benchmarks.padded_steps --data out/data --model dnn
"""

from __future__ import annotations

import json
import statistics
import time
from typing import Any

from benchmarks.train_subject import Model
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags

MODES: dict[str, dict[str, bool]] = {
    "ragged": {},
    "padded": {"padded": True},
    "compiled": {"padded": True, "xla": True},
}


def measure(data: str, model: str, batch: int, steps: int, rounds: int) -> dict[str, Any]:
    """All figures."""
    subjects, first = {}, {}
    for mode, training in MODES.items():
        subjects[mode] = Model(model, data, batch, steps, training)
        begun = time.perf_counter()
        subjects[mode].train()
        first[mode] = round(time.perf_counter() - begun, 1)
    found: dict[str, list[float]] = {mode: [] for mode in MODES}
    for _ in range(rounds):
        for mode, subject in subjects.items():
            figures = subject.train()
            found[mode].append(figures["examples"] / figures["seconds"])
    speeds = {mode: round(statistics.median(one)) for mode, one in found.items()}
    return {"model": model, "examples_per_s": speeds, "first_round_s": first}


def main(argv: list[str] | None = None) -> None:
    """Measures on given records."""
    flags = Flags(prog="python -m benchmarks.padded_steps", description=__doc__)
    flags.add_argument("--data", required=True, help="records of preprocessing.pipeline")
    flags.add_argument("--model", default="mgdspr", choices=("mgdspr", "mmse", "dnn"), help="which (mgdspr)")
    flags.add_argument("--batch", type=int, default=256, help="requests a step (256)")
    flags.add_argument("--steps", type=int, default=10, help="steps a round (10)")
    flags.add_argument("--rounds", type=int, default=3, help="rounds (3)")
    given = flags.parse_args(argv)
    print(json.dumps(measure(given.data, given.model, given.batch, given.steps, given.rounds)))


if __name__ == "__main__":
    run_command(main)
