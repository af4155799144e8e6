"""The steps of a day in their order: the one list of which the daily command, the DAG and the pipeline are made.

It needs nothing but Python, so that a scheduler can read it in an environment of its own.
"""

from __future__ import annotations

from typing import NamedTuple


class Step(NamedTuple):
    """One part of a day, which can be done again at any time."""

    name: str
    module: str  # the command that does the work
    says: str
    retries: int = 2  # by a scheduler; none where the same again says the same
    trains: bool = False  # only on days on which a job is due


RECORDS, COMPARE, TRAIN, EVALUATE, GATE, PUBLISH = "records", "compare", "train", "evaluate", "gate", "publish"
STEPS = (
    Step(RECORDS, "preprocessing.pipeline", "the records of the day's logs, and what the next days go on from"),
    Step(COMPARE, "preprocessing.compare", "what changed since the day before: past a limit the day ends here", 0),
    Step(TRAIN, "trainer.task", "a job that goes on from the newest that passed", trains=True),
    Step(EVALUATE, "trainer.evaluate", "the job's figures on the day's requests", trains=True),
    Step(GATE, "trainer.gate", "whether the job may take the place of the one before", 0, trains=True),
    Step(PUBLISH, "serving.refresh", "items' vectors, the index and a version, of the newest job that passed"),
)


def steps_of(trains: bool) -> list[Step]:
    """Those of a day with or without training."""
    return [step for step in STEPS if trains or not step.trains]


def command(step: Step, config: str, logs: str, days: str, output: str) -> list[str]:
    """What does a step of the day whose logs these are, to put behind `python`."""
    where = ["--config", config, "--logs", logs, "--days", days, "--output", output]
    return ["-m", "serving.refresh", "--step", step.name, *where]
