"""The daily command as an Airflow DAG: its steps as tasks, of the list in serving/release/day_steps.py.

Lies in Airflow's folder of DAGs, with multigrain's sources on PYTHONPATH; nothing else of them is needed in Airflow's
environment. The tasks run in multigrain's own: MULTIGRAIN_HOME is the folder of its sources and its `.venv`. What the
params name can be changed for a run, and here for all.
"""

from __future__ import annotations

import datetime
import itertools
import os
import shlex
from typing import Any

from airflow.providers.standard.operators.bash import BashOperator
from airflow.providers.standard.operators.python import ShortCircuitOperator
from airflow.sdk import DAG

from serving.release.day_steps import COMPARE, PUBLISH, STEPS, TRAIN, command

HOME = os.environ.get("MULTIGRAIN_HOME", "/srv/multigrain")
PARAMS = {
    "config": "configs/mgdspr.yaml",
    "logs": "/logs",  # a folder a day below it, /logs/2024-06-02
    "days": "/days",
    "output": "/models/retrieval",
    "train_on": [0, 3],  # days of the week whose logs are trained on, Monday is 0
}
_DAY = "{{ macros.ds_add(ds, -1) }}"  # logs of a day are whole on the next
_WHERE = ("{{ params.config }}", f"{{{{ params.logs }}}}/{_DAY}", "{{ params.days }}", "{{ params.output }}")


def is_due(day: str, params: dict[str, Any]) -> bool:
    """Whether a job is trained on a day."""
    return datetime.date.fromisoformat(day).weekday() in params["train_on"]


with DAG(
    "multigrain_day",
    description="records, comparison, training, gate, version",
    schedule="0 4 * * *",
    start_date=datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC),
    catchup=False,  # True lives the missed days one after the other
    max_active_runs=1,
    params=PARAMS,
    default_args={"retry_delay": datetime.timedelta(minutes=10), "depends_on_past": False},
    doc_md=__doc__,
) as dag:
    tasks = {
        step.name: BashOperator(
            task_id=step.name,
            bash_command=shlex.join([".venv/bin/python", *command(step, *_WHERE)]),
            cwd=HOME,
            retries=step.retries,
            doc_md=step.says,
            trigger_rule="none_failed" if step.name == PUBLISH else "all_success",  # also where no job is due
        )
        for step in STEPS
    }
    due = ShortCircuitOperator(
        task_id="is_due",
        python_callable=is_due,
        op_args=[_DAY],
        ignore_downstream_trigger_rules=False,
    )
    names = [step.name for step in STEPS]
    for before, after in itertools.pairwise(names):
        if after != TRAIN:
            tasks[before] >> tasks[after]
    tasks[COMPARE] >> due >> tasks[TRAIN]
    tasks[COMPARE] >> tasks[PUBLISH]
