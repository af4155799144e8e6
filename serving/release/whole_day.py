"""A whole day before its version: records from the day's logs, and where it is asked for a job, trained and judged.

    DAYS/state/                what the next days' records need
    DAYS/2024-06-02/data/      the records of the logs in .../2024-06-02
    DAYS/2024-06-02/job/       a job that went on from the newest good one, on days on which one is trained
    DAYS/2024-06-02/judged.json   whether the gate let it pass

The steps are the commands of the other packages, each a process of its own, so that serving needs none of their code.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from preprocessing.command.console import UserError

_JUDGED = "judged.json"
_OLDER = 7  # folders of days before, of whose requests each batch has a share
_REFUSED = 1  # the gate's status


class Day(NamedTuple):
    """What a version is made of."""

    job: str
    data: str
    passed: bool  # no job was trained today, or it is `job`


class WholeDay:
    """Lives the day of some logs.

    Args:
      folder: of all days.
      logs: the day's; the folder's name is the day's, and names are in the order of days.
      config: the experiment's YAML.
      sets: overrides of its keys.
    """

    def __init__(self, folder: str, logs: str, config: str, sets: Sequence[str]) -> None:
        self._folder, self._logs = Path(folder), logs.rstrip("/")
        self._place = self._folder / os.path.basename(self._logs)
        self._config = ("--config", config, *(part for one in sets for part in ("--set", one)))

    def live(self, trains: bool, drop: float) -> Day:
        """Makes what is not made yet.

        Args:
          trains: whether a job is due.
          drop: by how much its figure may be below that of the job it went on from.
        """
        data = str(self._place / "data")
        where = ("--input", self._logs, "--output", data, "--state", str(self._folder / "state"))
        _run("preprocessing.pipeline", *self._config, *where)
        if trains and not (self._place / _JUDGED).exists():
            self._judge(self._train(data), drop)
        job = self._newest_job(self._place.name)
        if job is None:
            raise UserError(f"--days {self._folder}: no job has passed in it yet; give --train")
        judged = self._place / _JUDGED
        return Day(str(job), data, not judged.exists() or job.parent == self._place)

    def _train(self, data: str) -> Path:
        job, origin = self._place / "job", self._newest_job(self._before())
        older = [part for folder in self._older() for part in ("--older", str(folder))]
        going_on = ("--init-from", str(origin), *older) if origin is not None else ()
        where = ("--data", data, "--job-dir", str(job))
        _run("trainer.task", *self._config, *where, *going_on)
        _run("trainer.evaluate", *where)
        return job

    def _judge(self, job: Path, drop: float) -> None:
        origin = self._newest_job(self._before())
        baseline = ("--baseline", str(origin), "--drop", str(drop)) if origin is not None else ()
        passed = _run("trainer.gate", "--job-dir", str(job), *baseline, fine=(0, _REFUSED)) == 0
        aside = self._place / f"{_JUDGED}.part"
        aside.write_text(json.dumps({"passed": passed}))
        aside.replace(self._place / _JUDGED)

    def _newest_job(self, until: str) -> Path | None:
        """That of the newest day up to one whose job passed."""
        for path in sorted(self._folder.glob(f"*/{_JUDGED}"), reverse=True):
            if path.parent.name <= until and json.loads(path.read_text())["passed"]:
                return path.parent / "job"
        return None

    def _before(self) -> str:
        """The day before this one, by name; "" if there is none."""
        return max((path.name for path in self._folder.iterdir() if path.name < self._place.name), default="")

    def _older(self) -> list[Path]:
        whole = sorted(path.parent for path in self._folder.glob("*/data/_SUCCESS"))
        return [data for data in whole if data.parent.name < self._place.name][-_OLDER:]


def _run(module: str, *arguments: str, fine: Sequence[int] = (0,)) -> int:
    """Runs a command, which says itself what is wrong; its status, where that is fine."""
    sys.stderr.write(f"{module}\n")
    status = subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
    if status not in fine:
        raise SystemExit(status if status > 0 else 1)
    return status
