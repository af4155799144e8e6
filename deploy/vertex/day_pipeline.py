"""The daily command as a Vertex AI pipeline (KFP v2): a container a step, of the list in serving/release/day_steps.py.

    pip install kfp
    PYTHONPATH=. python deploy/vertex/day_pipeline.py IMAGE day.yaml

IMAGE is the trainer's, which holds all three packages. Paths are those of a bucket as Vertex AI mounts it, such as
/gcs/my-bucket/days. A mounted bucket knows no locks between machines: let one run end before the next begins.
"""

import sys
from typing import Any

from kfp import compiler, dsl

from serving.release.day_steps import PUBLISH, STEPS, Step, command

_MEMORY, _CPU = "16G", "4"


def component(step: Step, image: str) -> Any:
    """A step as a container."""

    def run(config: str, logs: str, days: str, output: str):  # type: ignore[no-untyped-def]
        return dsl.ContainerSpec(image=image, command=["python"], args=command(step, config, logs, days, output))

    run.__name__, run.__doc__ = step.name, step.says
    return dsl.container_component(run)


def pipeline(image: str) -> Any:
    """All of them, one after the other; those of a training where one is due."""
    components = {step: component(step, image) for step in STEPS}

    def chain(steps: list[Step], before: Any, **where: Any) -> Any:
        for step in steps:
            task = components[step](**where).set_retry(step.retries).set_cpu_limit(_CPU).set_memory_limit(_MEMORY)
            task.set_caching_options(False)  # what a step makes lies in its folders, and it knows itself what is done
            before = task.after(before) if before is not None else task
        return before

    @dsl.pipeline(name="multigrain-day", description="records, comparison, training, gate, version")
    def multigrain_day(config: str, logs: str, days: str, output: str, train: bool = False):  # type: ignore[no-untyped-def]
        where = {"config": config, "logs": logs, "days": days, "output": output}
        first = [step for step in STEPS if not step.trains and step.name != PUBLISH]
        last = [step for step in STEPS if step.trains or step.name == PUBLISH]
        compared = chain(first, None, **where)
        with dsl.If(train == True, "train"):  # noqa: E712 (a condition of the pipeline, not of Python)
            chain(last, compared, **where)
        with dsl.Else("as it is"):
            chain(last[-1:], compared, **where)

    return multigrain_day


if __name__ == "__main__":
    image, path = sys.argv[1:]
    compiler.Compiler().compile(pipeline(image), path)
