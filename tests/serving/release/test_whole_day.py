"""A whole day: the steps in their order, none twice, and the newest job that passed."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preprocessing.command.console import UserError
from serving import refresh
from serving.batch.output_folder import locked
from serving.release import whole_day
from serving.release.day_steps import STEPS, command, steps_of
from serving.release.versions import REJECTED
from serving.release.whole_day import Day, WholeDay

Commands = list[tuple[str, ...]]


class Machine:
    """Notes the commands and leaves what they would."""

    def __init__(self) -> None:
        self.commands: Commands = []
        self.statuses: dict[str, int] = {}

    def run(self, command: list[str], check: bool) -> SimpleNamespace:
        _, _, module, *arguments = command
        self.commands.append((module, *arguments))
        status = self.statuses.get(module, 0)
        flags = dict(zip(arguments[::2], arguments[1::2], strict=True))
        if module == "preprocessing.pipeline" and not status:
            Path(flags["--output"]).mkdir(parents=True, exist_ok=True)
            Path(flags["--output"], "_SUCCESS").touch()
        return SimpleNamespace(returncode=status)

    def steps(self) -> list[str]:
        """The modules run since this was last asked."""
        found, self.commands = [module for module, *_ in self.commands], []
        return found


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(whole_day.subprocess, "run", machine.run)
    return machine


def _day(folder: Path, day: str, trains: bool = True, accept: bool = False) -> Day:
    whole = WholeDay(str(folder), f"/logs/{day}/", "c.yaml", ["trainer.seed=3"], 0.02, accept)
    for step in steps_of(trains)[:-1]:
        whole.run(step.name)
    return whole.made()


ALL = ["preprocessing.pipeline", "trainer.task", "trainer.evaluate", "trainer.gate"]
COMPARE = "preprocessing.compare"


def test_the_first_day_begins_and_the_next_go_on(machine: Machine, tmp_path: Path) -> None:
    first, second = tmp_path / "2024-06-01", tmp_path / "2024-06-02"
    assert _day(tmp_path, "2024-06-01") == Day(f"{first}/job", f"{first}/data", True)
    records, task, _, gate = machine.commands
    where = ("--input", "/logs/2024-06-01", "--output", f"{first}/data", "--state", f"{tmp_path}/state")
    assert records[1:] == ("--config", "c.yaml", "--set", "trainer.seed=3", *where)
    assert "--init-from" not in task and "--baseline" not in gate and machine.steps() == ALL
    assert _day(tmp_path, "2024-06-02") == Day(f"{second}/job", f"{second}/data", True)
    _, task, _, gate = machine.commands
    assert task[-4:] == ("--init-from", f"{first}/job", "--older", f"{first}/data")
    assert gate[-4:] == ("--baseline", f"{first}/job", "--drop", "0.02")


def test_a_day_without_training_has_the_job_before(machine: Machine, tmp_path: Path) -> None:
    _day(tmp_path, "2024-06-01")
    machine.steps()
    day = _day(tmp_path, "2024-06-02", trains=False)
    assert day == Day(f"{tmp_path}/2024-06-01/job", f"{tmp_path}/2024-06-02/data", True)
    assert machine.steps() == ALL[:1]


def test_done_again_nothing_is_trained_twice(machine: Machine, tmp_path: Path) -> None:
    _day(tmp_path, "2024-06-01")
    machine.steps()
    assert _day(tmp_path, "2024-06-01").passed and machine.steps() == ALL[:1]


def test_what_was_broken_off_goes_on(machine: Machine, tmp_path: Path) -> None:
    for broken in range(len(ALL)):
        machine.statuses = {ALL[broken]: -9}
        with pytest.raises(SystemExit) as stopped:
            _day(tmp_path, "2024-06-01")
        assert stopped.value.code == 1 and machine.steps() == ALL[: broken + 1]
    machine.statuses = {}
    assert _day(tmp_path, "2024-06-01").passed and machine.steps() == ALL


def test_a_mistake_has_the_status_of_its_command(machine: Machine, tmp_path: Path) -> None:
    machine.statuses = {"trainer.task": 2}
    with pytest.raises(SystemExit) as stopped:
        _day(tmp_path, "2024-06-01")
    assert stopped.value.code == 2


def test_a_job_that_the_gate_refuses_is_not_served(machine: Machine, tmp_path: Path) -> None:
    _day(tmp_path, "2024-06-01")
    machine.statuses = {"trainer.gate": 1}
    good = f"{tmp_path}/2024-06-01/job"
    assert _day(tmp_path, "2024-06-02") == Day(good, f"{tmp_path}/2024-06-02/data", False)
    assert json.loads((tmp_path / "2024-06-02/judged.json").read_text()) == {"passed": False}
    machine.statuses = {}
    machine.steps()
    _day(tmp_path, "2024-06-03")
    assert machine.commands[2][-6:-4] == ("--init-from", good)


def test_from_the_third_day_on_each_is_compared_with_the_one_before(machine: Machine, tmp_path: Path) -> None:
    """The first day's logs are of several days, so the second is like no other."""
    for day in ("2024-06-01", "2024-06-02"):
        _day(tmp_path, day)
    assert COMPARE not in machine.steps()
    _day(tmp_path, "2024-06-03")
    compared = machine.commands[1]
    assert compared == (
        COMPARE,
        f"{tmp_path}/2024-06-02/data",
        f"{tmp_path}/2024-06-03/data",
        *("--config", "c.yaml", "--set", "trainer.seed=3", "--report", f"{tmp_path}/2024-06-03/compare.html"),
    )
    assert machine.steps() == [ALL[0], COMPARE, *ALL[1:]]
    _day(tmp_path, "2024-06-03")
    assert machine.steps() == ALL[:1]


def test_a_day_past_a_limit_ends_before_training_until_it_is_accepted(
    machine: Machine, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for day in ("2024-06-01", "2024-06-02"):
        _day(tmp_path, day)
    machine.steps()
    machine.statuses = {COMPARE: 3}
    for _ in range(2):  # the same again says the same
        with pytest.raises(SystemExit) as stopped:
            _day(tmp_path, "2024-06-03")
        assert stopped.value.code == REJECTED and machine.steps() == [ALL[0], COMPARE]
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: 2024-06-03 is past a limit beside 2024-06-02, see ") and "--accept" in said
    whole = WholeDay(str(tmp_path), "/logs/2024-06-03", "c.yaml", [], 0.02, accept=False)
    for made_of_it in (lambda: whole.run("train"), whole.made):
        with pytest.raises(UserError, match="2024-06-03 was not let pass by --step compare"):
            made_of_it()

    machine.statuses = {}
    _day(tmp_path, "2024-06-04", trains=False)  # is compared with the last that passed
    assert machine.commands[1][1] == f"{tmp_path}/2024-06-02/data"
    machine.steps()
    machine.statuses = {COMPARE: 3}
    assert _day(tmp_path, "2024-06-03", accept=True).passed and machine.steps() == [ALL[0], COMPARE, *ALL[1:]]
    assert _day(tmp_path, "2024-06-03").passed and machine.steps() == ALL[:1]


def test_a_comparison_that_stops_is_no_day_past_a_limit(machine: Machine, tmp_path: Path) -> None:
    for day in ("2024-06-01", "2024-06-02"):
        _day(tmp_path, day)
    machine.statuses = {COMPARE: 1}
    with pytest.raises(SystemExit) as stopped:
        _day(tmp_path, "2024-06-03")
    assert stopped.value.code == 1 and not (tmp_path / "2024-06-03" / "compared.json").exists()


def test_step_by_step_a_day_is_the_same(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[tuple[str, ...]] = []
    monkeypatch.setattr(refresh, "refresh", lambda config, *given: exported.append(given[:2]) or 0)

    def lived(days: str, runs: list[list[str]]) -> list[tuple[str, ...]]:
        for run in runs:
            assert refresh.main(run) == 0
        found = [*machine.commands, *exported]
        machine.commands.clear()
        exported.clear()
        return [tuple(part.replace(days, "DAYS") for part in one) for one in found]

    whole, stepped = f"{tmp_path}/whole", f"{tmp_path}/stepped"
    for day in ("1", "2", "3"):
        where = ("configs/demo.yaml", f"/logs/{day}")
        _, _, _, _, *flags = command(STEPS[0], *where, whole, f"{tmp_path}/models")
        steps = [command(step, *where, stepped, f"{tmp_path}/models") for step in STEPS]
        assert all(one[:2] == ["-m", "serving.refresh"] for one in steps)
        assert lived(whole, [[*flags, "--train"]]) == lived(stepped, [one[2:] for one in steps])


def test_the_steps_name_commands_that_there_are() -> None:
    assert [step.name for step in steps_of(trains=False)] == ["records", "compare", "publish"]
    assert steps_of(trains=True) == list(STEPS)
    for step in STEPS:
        assert importlib.util.find_spec(step.module) is not None
        assert {"--step", "--config", "--logs", "--days", "--output"} <= set(command(step, "c", "l", "d", "o"))


def test_no_job_yet(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=f"^--days {tmp_path}: no job has passed in it yet; give --train$"):
        _day(tmp_path, "2024-06-01", trains=False)


def test_the_command(machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported: list[Any] = []
    monkeypatch.setattr(refresh, "refresh", lambda config, *given: exported.append(given[:3]) or 0)
    flags = ["--config", "configs/demo.yaml", "--days", f"{tmp_path}/days", "--output", f"{tmp_path}/models"]
    assert refresh.main([*flags, "--logs", "/logs/1", "--train"]) == 0
    machine.statuses = {"trainer.gate": 1}
    assert refresh.main([*flags, "--logs", "/logs/2", "--train"]) == REJECTED
    good = f"{tmp_path}/days/1/job"
    assert exported == [(good, f"{tmp_path}/days/{day}/data", f"{tmp_path}/models") for day in ("1", "2")]


def test_mistakes(machine: Machine, tmp_path: Path) -> None:
    output = ["--output", f"{tmp_path}/models"]
    with pytest.raises(UserError, match="give --job-dir and --data, or --days and --logs for the whole day"):
        refresh.main(output)
    for given in (["--logs", "l"], ["--train"], ["--step", "gate"], ["--accept"]):
        with pytest.raises(UserError, match=rf"^{given[0]} is of a whole day: give --days$"):
            refresh.main([*output, *given, "--job-dir", "j", "--data", "d"])
    with pytest.raises(UserError, match="--days d: it needs --logs"):
        refresh.main([*output, "--days", "d"])
    with pytest.raises(UserError, match="leave out --job-dir and --data"):
        refresh.main([*output, "--days", "d", "--logs", "l", "--config", "configs/demo.yaml", "--data", "x"])
    with pytest.raises(UserError, match="--train says which steps the day has: leave it out where --step names one"):
        refresh.main(
            [*output, *["--days", "d", "--logs", "l", "--config", "configs/demo.yaml", "--train", "--step", "gate"]]
        )
    with locked(f"{tmp_path}/days", "--days"), pytest.raises(UserError, match="another run is at work there"):
        refresh.main([*output, "--days", f"{tmp_path}/days", "--logs", "l", "--config", "configs/demo.yaml"])
    assert not machine.commands
