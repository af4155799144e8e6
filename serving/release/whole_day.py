"""A whole day before its version: the records of its logs, compared with the day's before; a job, trained and judged.

    DAYS/state/                what the next days' records need
    DAYS/2024-06-02/data/      the records of the logs in .../2024-06-02
    DAYS/2024-06-02/compare.html, compared.json   how they differ from the day's before, and whether that was let pass
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

from preprocessing.command.console import UserError, fail
from preprocessing.compare import PAST_A_LIMIT
from serving.release.day_steps import COMPARE, EVALUATE, GATE, RECORDS, TRAIN
from serving.release.versions import REJECTED

_COMPARED, _JUDGED = "compared.json", "judged.json"
_OLDER = 7  # folders of days before, of whose requests each batch has a share
_REFUSED = 1  # the gate's status


class Day(NamedTuple):
    """What a version is made of."""

    job: str
    data: str
    passed: bool  # no job was trained today, or it is `job`


class WholeDay:
    """Lives the day of some logs, step by step; what is done is not done again.

    Args:
      folder: of all days.
      logs: the day's; the folder's name is the day's, and names are in the order of days.
      config: the experiment's YAML.
      sets: overrides of its keys.
      drop: by how much a job's figure may be below that of the one it went on from.
      accept: whether to go on though the day is past a limit beside the day before.
    """

    def __init__(self, folder: str, logs: str, config: str, sets: Sequence[str], drop: float, accept: bool) -> None:
        self._folder, self._logs = Path(folder), logs.rstrip("/")
        self._place = self._folder / os.path.basename(self._logs)
        self._config = ("--config", config, *(part for one in sets for part in ("--set", one)))
        self._drop, self._accept = drop, accept
        self._data, self._job = str(self._place / "data"), self._place / "job"

    def run(self, step: str) -> None:
        """Does one step before the version."""
        steps = {
            RECORDS: self._make_records,
            COMPARE: self._compare,
            TRAIN: self._train,
            EVALUATE: self._evaluate,
            GATE: self._judge,
        }
        steps[step]()

    def made(self) -> Day:
        """What the day's version is to be made of."""
        self._check_compared()
        job = self._newest_job(self._place.name)
        if job is None:
            raise UserError(f"--days {self._folder}: no job has passed in it yet; give --train")
        return Day(str(job), self._data, not self._judged or job.parent == self._place)

    @property
    def _judged(self) -> bool:
        return (self._place / _JUDGED).exists()

    def _make_records(self) -> None:
        where = ("--input", self._logs, "--output", self._data, "--state", str(self._folder / "state"))
        _run("preprocessing.pipeline", *self._config, *where)

    def _compare(self) -> None:
        before = self._like_it()
        if before is None or _passed(self._place / _COMPARED):
            return
        page = str(self._place / "compare.html")
        folders = (str(before / "data"), self._data)
        passed = _run("preprocessing.compare", *folders, *self._config, "--report", page, fine=(0, PAST_A_LIMIT)) == 0
        self._note(_COMPARED, passed or self._accept)
        if not passed and not self._accept:
            fail(
                f"{self._place.name} is past a limit beside {before.name}, see {page}: nothing is made of it; "
                "run it again with --accept to go on all the same",
                status=REJECTED,
            )

    def _check_compared(self) -> None:
        if self._like_it() is not None and not _passed(self._place / _COMPARED):
            raise UserError(f"--days {self._folder}: {self._place.name} was not let pass by --step compare")

    def _train(self) -> None:
        self._check_compared()
        if self._judged:
            return
        origin = self._newest_job(self._before())
        older = [part for folder in self._older() for part in ("--older", str(folder))]
        going_on = ("--init-from", str(origin), *older) if origin is not None else ()
        _run("trainer.task", *self._config, "--data", self._data, "--job-dir", str(self._job), *going_on)

    def _evaluate(self) -> None:
        if not self._judged:
            _run("trainer.evaluate", "--data", self._data, "--job-dir", str(self._job))

    def _judge(self) -> None:
        if self._judged:
            return
        origin = self._newest_job(self._before())
        baseline = ("--baseline", str(origin), "--drop", str(self._drop)) if origin is not None else ()
        passed = _run("trainer.gate", "--job-dir", str(self._job), *baseline, fine=(0, _REFUSED)) == 0
        self._note(_JUDGED, passed)

    def _note(self, name: str, passed: bool) -> None:
        aside = self._place / f"{name}.part"
        aside.write_text(json.dumps({"passed": passed}))
        aside.replace(self._place / name)

    def _newest_job(self, until: str) -> Path | None:
        """That of the newest day up to one whose job passed."""
        for path in sorted(self._folder.glob(f"*/{_JUDGED}"), reverse=True):
            if path.parent.name <= until and _passed(path):
                return path.parent / "job"
        return None

    def _before(self) -> str:
        """The day before this one, by name; "" if there is none."""
        return max((path.name for path in self._folder.iterdir() if path.name < self._place.name), default="")

    def _like_it(self) -> Path | None:
        """The newest day before that was not turned down; none where it is the first, of several days' logs."""
        whole = sorted(path.parents[1] for path in self._folder.glob("*/data/_SUCCESS"))
        before = [day for day in whole[1:] if day.name < self._place.name]
        return next((day for day in reversed(before) if _passed(day / _COMPARED) is not False), None)

    def _older(self) -> list[Path]:
        whole = sorted(path.parent for path in self._folder.glob("*/data/_SUCCESS"))
        return [data for data in whole if data.parent.name < self._place.name][-_OLDER:]


def _passed(note: Path) -> bool | None:
    """What it says; None where there is none."""
    return bool(json.loads(note.read_text())["passed"]) if note.exists() else None


def _run(module: str, *arguments: str, fine: Sequence[int] = (0,)) -> int:
    """Runs a command, which says itself what is wrong; its status, where that is fine."""
    sys.stderr.write(f"{module}\n")
    status = subprocess.run([sys.executable, "-m", module, *arguments], check=False).returncode
    if status not in fine:
        raise SystemExit(status if status > 0 else 1)
    return status
