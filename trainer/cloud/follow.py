"""Hands a job to Vertex AI and follows it to its end."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TypeAlias
from urllib.parse import quote

from google.api_core.exceptions import ClientError
from google.api_core.retry import Retry
from google.auth.exceptions import DefaultCredentialsError
from google.cloud import aiplatform_v1 as api

from preprocessing.command.console import UserError
from trainer.cloud.submission import ProjectRegion

AnyJob: TypeAlias = api.CustomJob | api.HyperparameterTuningJob

_ENDED = {"SUCCEEDED", "FAILED", "CANCELLED", "EXPIRED", "PARTIALLY_SUCCEEDED"}
_CONSOLE = "https://console.cloud.google.com"


class JobFailed(Exception):
    """The job came to a bad end."""


def client_of(region: str) -> api.JobServiceClient:
    """The client of a region's job service."""
    try:
        return api.JobServiceClient(client_options={"api_endpoint": f"{region}-aiplatform.googleapis.com"})
    except DefaultCredentialsError:
        raise UserError("no Google credentials here; run gcloud auth application-default login") from None


def create(client: api.JobServiceClient, place: ProjectRegion, job: AnyJob) -> AnyJob:
    """The job as the service has taken it, with its name."""
    try:
        if isinstance(job, api.HyperparameterTuningJob):
            return client.create_hyperparameter_tuning_job(parent=place.parent, hyperparameter_tuning_job=job)
        return client.create_custom_job(parent=place.parent, custom_job=job)
    except ClientError as error:
        raise UserError(f"Vertex AI refused the job: {error.message}") from None


def links(place: ProjectRegion, job: AnyJob) -> dict[str, str]:
    """Where a person sees the job and its log."""
    number = job.name.rsplit("/", 1)[-1]
    pages = "hyperparameter-tuning-jobs" if isinstance(job, api.HyperparameterTuningJob) else "training"
    query = quote(f'resource.type="ml_job" resource.labels.job_id="{number}"', safe="")
    return {
        "job": f"{_CONSOLE}/vertex-ai/locations/{place.region}/{pages}/{number}?project={place.project}",
        "log": f"{_CONSOLE}/logs/query;query={query}?project={place.project}",
    }


def follow(
    client: api.JobServiceClient, job: AnyJob, seconds: float, say: Callable[[str], None] | None = None
) -> AnyJob:
    """Says each new state until the job has ended; a bad end is a `JobFailed`."""
    say = say or (lambda line: print(line, file=sys.stderr, flush=True))
    search = isinstance(job, api.HyperparameterTuningJob)
    get = client.get_hyperparameter_tuning_job if search else client.get_custom_job
    shown, begun = "", time.monotonic()
    while True:
        job = get(name=job.name, retry=Retry())  # a short failure of the network is no end of the job
        state = job.state.name.removeprefix("JOB_STATE_")
        line = state.lower() + _trials(job)
        if line != shown:
            say(f"{time.monotonic() - begun:7.0f} s  {line}")
            shown = line
        if state in _ENDED:
            break
        time.sleep(seconds)
    if state not in ("SUCCEEDED", "PARTIALLY_SUCCEEDED"):
        raise JobFailed(f"{job.name} {state.lower()}: {job.error.message or 'no reason was given'}")
    return job


def best_trial(job: api.HyperparameterTuningJob) -> tuple[str, float, dict[str, object]] | None:
    """(id, metric, values) of the best trial that was measured."""
    measured = [
        (trial.final_measurement.metrics[0].value, trial) for trial in job.trials if trial.final_measurement.metrics
    ]
    if not measured:
        return None
    value, trial = max(measured, key=lambda pair: pair[0])
    return trial.id, value, {one.parameter_id: one.value for one in trial.parameters}


def _trials(job: AnyJob) -> str:
    if not isinstance(job, api.HyperparameterTuningJob):
        return ""
    done = sum(trial.state.name in ("SUCCEEDED", "INFEASIBLE") for trial in job.trials)
    best = best_trial(job)
    return f", {done} of {job.max_trial_count} trials" + (f", best {best[1]:.4f} in trial {best[0]}" if best else "")
