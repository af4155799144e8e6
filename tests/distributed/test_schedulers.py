"""A day as Airflow and as KFP see it, each with the real library in an environment of its own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from environments import fresh, pip, run

from serving.refresh import arguments
from serving.release.day_steps import STEPS
from tests.packages import ROOT

# Their own constraints lie where no package index is; these were seen to install and work together.
AIRFLOW = ("apache-airflow-core==3.3.2", "apache-airflow-providers-standard==1.21.0")
KFP = ("kfp==2.17.3",)
NAMES = [step.name for step in STEPS]
LOAD = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
bag = DagBag(sys.argv[1])
assert not bag.import_errors, bag.import_errors
(dag,) = bag.dags.values()
tasks = {
    task.task_id: {
        "after": sorted(task.upstream_task_ids),
        "retries": task.retries,
        "rule": task.trigger_rule,
        "command": getattr(task, "bash_command", None),
        "cwd": getattr(task, "cwd", None),
    }
    for task in dag.tasks
}
print("\\n" + json.dumps({"id": dag.dag_id, "runs": dag.max_active_runs, "schedule": dag.schedule, "tasks": tasks}))
"""
TEST = "from airflow.__main__ import main; main()"


@pytest.fixture(scope="module")
def airflow(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with Airflow."""
    python = fresh(tmp_path_factory.mktemp("airflow"))
    pip(python, "install", "--quiet", *AIRFLOW)
    return python


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, object]:
    """Airflow's settings."""
    return {
        "AIRFLOW_HOME": tmp_path / "airflow",
        "AIRFLOW__CORE__LOAD_EXAMPLES": False,
        "AIRFLOW__CORE__DAGS_FOLDER": ROOT / "deploy" / "airflow",
        "MULTIGRAIN_HOME": tmp_path / "home",
        "PYTHONPATH": ROOT,
    }


def test_airflow_has_the_steps_in_their_order(airflow: Path, variables: dict[str, object], tmp_path: Path) -> None:
    said = run(airflow, "-c", LOAD, ROOT / "deploy" / "airflow", cwd=tmp_path, **variables).stdout
    dag = json.loads(said.splitlines()[-1])
    assert (dag["id"], dag["runs"], dag["schedule"]) == ("multigrain_day", 1, "0 4 * * *")
    tasks = dag["tasks"]
    assert {name: task["after"] for name, task in tasks.items()} == {
        "records": [],
        "compare": ["records"],
        "is_due": ["compare"],
        "train": ["is_due"],
        "evaluate": ["train"],
        "gate": ["evaluate"],
        "publish": ["compare", "gate"],
    }
    for step in STEPS:
        task = tasks[step.name]
        assert (task["retries"], task["cwd"]) == (step.retries, str(tmp_path / "home"))
        assert task["command"].startswith(f".venv/bin/python -m serving.refresh --step {step.name} --config ")
    assert {name for name, task in tasks.items() if task["rule"] == "none_failed"} == {"publish"}


@pytest.mark.parametrize(("day", "due"), [("2024-06-04", True), ("2024-06-05", False)])
def test_airflow_runs_them(day: str, due: bool, airflow: Path, variables: dict[str, object], tmp_path: Path) -> None:
    """With a Python that notes how it was called; logs are those of the day before, of which Mondays are trained on."""
    python = tmp_path / "home" / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/called\n')
    python.chmod(0o755)
    run(airflow, "-c", TEST, "db", "migrate", cwd=tmp_path, **variables)
    conf = json.dumps({"days": "/my days", "output": "/models"})
    run(airflow, "-c", TEST, "dags", "test", "multigrain_day", day, "-c", conf, cwd=tmp_path, **variables)
    logs = {"2024-06-04": "/logs/2024-06-03", "2024-06-05": "/logs/2024-06-04"}[day]
    where = f"--config configs/mgdspr.yaml --logs {logs} --days /my days --output /models"
    assert (tmp_path / "called").read_text().splitlines() == [
        f"-m serving.refresh --step {step.name} {where}" for step in STEPS if due or not step.trains
    ]


def _commands(pipeline: dict[str, Any], dag: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By task its container, and what it comes after, within its group."""
    found = {}
    for name, task in dag["tasks"].items():
        component = pipeline["components"][task["componentRef"]["name"]]
        if "dag" in component:
            inside = _commands(pipeline, component["dag"])
            found |= {f"{name}/{one}": what for one, what in inside.items()}
        else:
            container = pipeline["deploymentSpec"]["executors"][component["executorLabel"]]["container"]
            retries = task.get("retryPolicy", {}).get("maxRetryCount", 0)
            cached = task.get("cachingOptions", {}).get("enableCache", False)
            found[name] = {**container, "after": task.get("dependentTasks", []), "retries": retries, "cached": cached}
    return found


def test_kfp_compiles_them(tmp_path: Path) -> None:
    python = fresh(tmp_path / "env")
    pip(python, "install", "--quiet", *KFP)
    script = ROOT / "deploy" / "vertex" / "day_pipeline.py"
    run(python, script, "registry/trainer:live", "day.yaml", cwd=tmp_path, PYTHONPATH=ROOT)
    pipeline = next(yaml.safe_load_all((tmp_path / "day.yaml").read_text()))
    assert pipeline["pipelineInfo"]["name"] == "multigrain-day"
    given = pipeline["root"]["inputDefinitions"]["parameters"]
    assert given.keys() == {"config", "logs", "days", "output", "train"}
    tasks = _commands(pipeline, pipeline["root"]["dag"])
    branches = "condition-branches-1"
    assert pipeline["root"]["dag"]["tasks"][branches]["dependentTasks"] == ["compare"]
    due, not_due = f"{branches}/condition-2", f"{branches}/condition-3"
    assert {name: task["after"] for name, task in tasks.items()} == {
        "records": [],
        "compare": ["records"],
        f"{due}/train": [],
        f"{due}/evaluate": ["train"],
        f"{due}/gate": ["evaluate"],
        f"{due}/publish": ["gate"],
        f"{not_due}/publish-2": [],
    }
    for name, task in tasks.items():
        step = next(step for step in STEPS if step.name == name.split("/")[-1].removesuffix("-2"))
        assert (task["image"], task["command"]) == ("registry/trainer:live", ["python"])
        assert (task["retries"], task["cached"]) == (step.retries, False)
        assert task["args"][:2] == ["-m", "serving.refresh"]
        flags, others = arguments(task["args"][2:])
        assert (flags.step, others) == (step.name, [])
        names = ("config", "logs", "days", "output")
        assert [getattr(flags, one) for one in names] == [f"{{{{$.inputs.parameters['{one}']}}}}" for one in names]
