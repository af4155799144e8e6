"""python -m benchmarks.day_cost: what a day's records cost with a state behind them, beside the same day alone.

A simulated market's last day is made into records three times: with the state that all days before left, alone, and in
one run over everything. CPU seconds of all processes, start-up included; the least of `--repeat` runs, one after the
other. The last line of stdout is one JSON object.

examples:
  python -m benchmarks.day_cost --output out/day_cost
  python -m benchmarks.day_cost --output out/day_cost-50k --users 50000 --repeat 1
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.day_logs import all_until, deal_by_day
from preprocessing.command.console import run_command
from preprocessing.command.flags import Flags

_ROOT = Path(__file__).resolve().parent.parent
_SPLIT = ("--set", "preprocessing.split.eval_days=1")
# A day alone has no day before it: its last hours are to validate and to evaluate by.
_SHARES = ("eval_days=null", "eval_share=0.3", "validation_share=0.3")


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _run(*command: str) -> float:
    """CPU seconds of `python -m ...` and its workers."""
    begun = _cpu()
    ended = subprocess.run([sys.executable, "-m", *command], cwd=_ROOT, stdout=sys.stderr, check=False)
    if ended.returncode:
        raise SystemExit(ended.returncode)
    return round(_cpu() - begun, 1)


def _records(logs: Path, data: Path, *flags: str) -> float:
    shutil.rmtree(data, ignore_errors=True)
    config = ("--config", "configs/demo.yaml", *_SPLIT)
    return _run("preprocessing.pipeline", *config, "--input", str(logs), "--output", str(data), *flags)


def _alone(days: list[Path], folder: Path) -> Path:
    """The last day's logs beside the whole catalogue, which a state has already."""
    all_until(days[-1:], folder)
    for day in days[:-1]:
        link = folder / f"catalog-{day.name}.jsonl"
        if (day / "catalog.jsonl").stat().st_size and not link.exists():
            os.link(day / "catalog.jsonl", link)
    return folder


def measure(folder: Path, repeat: int) -> dict[str, Any]:
    """The costs of the last day of the logs in `folder`."""
    days = deal_by_day(folder / "raw", folder / "days", 1)
    state, before = folder / "state", folder / "before"
    if not (before / "CURRENT").exists():
        shutil.rmtree(state, ignore_errors=True)
        _records(all_until(days[:-1], folder / "until-last"), folder / "data" / "before", "--state", str(state))
        os.rename(state, before)
    shares = [part for one in _SHARES for part in ("--set", f"preprocessing.split.{one}")]
    costs: dict[str, list[float]] = {"day_with_state": [], "day_alone": [], "everything": []}
    for _ in range(repeat):
        shutil.rmtree(state, ignore_errors=True)
        shutil.copytree(before, state)
        costs["day_with_state"].append(_records(days[-1], folder / "data" / "day", "--state", str(state)))
        costs["day_alone"].append(_records(_alone(days, folder / "alone"), folder / "data" / "alone", *shares))
        costs["everything"].append(_records(all_until(days, folder / "until-now"), folder / "data" / "everything"))
    least = {name: min(found) for name, found in costs.items()}
    size = sum(path.stat().st_size for path in state.rglob("*") if path.is_file())
    ratio = round(least["day_with_state"] / least["day_alone"], 2)
    return {"days": len(days), **least, "with_state_over_alone": ratio, "state_mib": round(size / 2**20, 1)}


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = Flags(prog="python -m benchmarks.day_cost", description=__doc__)
    flags.add_argument("--output", default="out/day_cost", help="folder of all of it (default %(default)s)")
    flags.add_argument("--users", type=int, default=5000, help="of the market (default %(default)s)")
    flags.add_argument("--days", type=int, default=41, help="of the market (default %(default)s)")
    flags.add_argument("--repeat", type=int, default=3, help="runs of which the least counts (default %(default)s)")
    given = flags.parse_args(argv)
    folder = Path(given.output).absolute()
    if not (folder / "raw").exists():
        market = ("--users", str(given.users), "--days", str(given.days))
        _run("preprocessing.simulate", "--output", str(folder / "raw"), *market)
    print(json.dumps(measure(folder, given.repeat)))
    return 0


if __name__ == "__main__":
    run_command(main)
