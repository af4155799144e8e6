"""Schedulers' files are made of the one list of steps: seen with doubles of their libraries, which do not fit ours."""

from __future__ import annotations

import contextlib
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import pytest

from serving.release import day_steps
from serving.release.day_steps import Step

ROOT = Path(__file__).parents[2]
# Other than the real ones, so that a file that names steps by itself is found out.
STEPS = (
    Step("records", "a", "says a", 1),
    Step("compare", "b", "says b", 0),
    Step("train", "c", "says c", 4, trains=True),
    Step("tell", "d", "says d", 2, trains=True),
    Step("publish", "e", "says e", 3),
)


class Task:
    """A task of any scheduler, that notes what it comes after."""

    made: ClassVar[list[Task]] = []

    def __init__(self, **given: Any) -> None:
        self.given, self.before = given, set[str]()
        self.made.append(self)

    @property
    def name(self) -> str:
        return str(self.given["task_id"])

    def __rshift__(self, other: Task) -> Task:
        other.before.add(self.name)
        return other

    def after(self, other: Task) -> Task:
        self.before.add(other.name)
        return self

    def set_retry(self, retries: int) -> Task:
        self.given["retries"] = retries
        return self

    def __getattr__(self, name: str) -> Any:
        if not name.startswith("set_"):
            raise AttributeError(name)
        return lambda value: self


@pytest.fixture(autouse=True)
def steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_steps, "STEPS", STEPS)
    monkeypatch.setattr(Task, "made", [])


def _double(monkeypatch: pytest.MonkeyPatch, name: str, **content: Any) -> None:
    parts = name.split(".")
    for length in range(1, len(parts) + 1):
        path = ".".join(parts[:length])
        if path not in sys.modules:
            monkeypatch.setitem(sys.modules, path, ModuleType(path))
    for key, value in content.items():
        monkeypatch.setattr(sys.modules[name], key, value, raising=False)


def test_the_dag(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def dag(name: str, **given: Any) -> Iterator[dict[str, Any]]:
        yield given

    _double(monkeypatch, "airflow.sdk", DAG=dag)
    _double(monkeypatch, "airflow.providers.standard.operators.bash", BashOperator=Task)
    _double(monkeypatch, "airflow.providers.standard.operators.python", ShortCircuitOperator=Task)
    module = runpy.run_path(str(ROOT / "deploy/airflow/multigrain_day.py"))
    tasks = {task.name: task for task in Task.made}
    assert {name: task.before for name, task in tasks.items()} == {
        "records": set(),
        "compare": {"records"},
        "is_due": {"compare"},
        "train": {"is_due"},
        "tell": {"train"},
        "publish": {"tell", "compare"},
    }
    for step in STEPS:
        assert tasks[step.name].given["retries"] == step.retries
        assert f"--step {step.name} " in tasks[step.name].given["bash_command"]
    assert module["is_due"]("2024-06-03", {"train_on": [0]}) and not module["is_due"]("2024-06-04", {"train_on": [0]})


def test_the_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    groups: list[str] = []

    @contextlib.contextmanager
    def group(*condition: Any) -> Iterator[None]:
        groups.append(condition[-1])
        yield

    def container(function: Any) -> Any:
        def called(**where: str) -> Task:
            return Task(task_id=function.__name__, container=function(**where))

        return called

    _double(monkeypatch, "kfp", compiler=None, dsl=ModuleType("dsl"))
    contents = {
        "ContainerSpec": dict,
        "container_component": container,
        "pipeline": lambda **given: lambda function: function,
        "If": group,
        "Else": group,
    }
    for key, value in contents.items():
        setattr(sys.modules["kfp"].dsl, key, value)
    module = runpy.run_path(str(ROOT / "deploy/vertex/day_pipeline.py"))
    module["pipeline"]("image")("c.yaml", "/logs/1", "/days", "/models")
    assert [(task.name, task.before) for task in Task.made] == [
        ("records", set()),
        ("compare", {"records"}),
        ("train", {"compare"}),
        ("tell", {"train"}),
        ("publish", {"tell"}),
        ("publish", {"compare"}),
    ]
    assert len(groups) == 2
    for task in Task.made:
        step = next(step for step in STEPS if step.name == task.name)
        assert task.given["retries"] == step.retries
        assert task.given["container"]["image"] == "image"
        assert task.given["container"]["args"] == day_steps.command(step, "c.yaml", "/logs/1", "/days", "/models")


def test_the_list_needs_nothing_but_python() -> None:
    """A scheduler reads it in its own environment; so the packages that it lies in import nothing either."""
    code = (
        "import sys; before = set(sys.modules); import serving.release.day_steps; print(*(set(sys.modules) - before))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    ours = {"serving", "serving.release", "serving.release.day_steps"}
    assert {name.split(".")[0] for name in set(done.stdout.split()) - ours} <= sys.stdlib_module_names
