"""A job handed to the service and followed to its end."""

from __future__ import annotations

import pytest
from google.cloud import aiplatform_v1 as api
from google.rpc.status_pb2 import Status
from grpc import StatusCode

from preprocessing.command.console import UserError
from tests.trainer.cloud.fake_vertex import FakeVertex, serving
from trainer.cloud.follow import JobFailed, best_trial, create, follow, links
from trainer.cloud.submission import ProjectRegion

PLACE = ProjectRegion("my-project", "europe-west4")
QUEUED, RUNNING = {"state": api.JobState.JOB_STATE_QUEUED}, {"state": api.JobState.JOB_STATE_RUNNING}
SUCCEEDED = {"state": api.JobState.JOB_STATE_SUCCEEDED}
JOB = api.CustomJob(display_name="one")


def test_to_a_good_end_through_a_failing_network() -> None:
    said: list[str] = []
    vertex = FakeVertex([QUEUED, QUEUED, StatusCode.UNAVAILABLE, RUNNING, RUNNING, SUCCEEDED])
    with serving(vertex) as client:
        job = create(client, PLACE, JOB)
        ended = follow(client, job, seconds=0, say=said.append)
    assert vertex.requests[0].parent == "projects/my-project/locations/europe-west4"
    assert [line.split()[-1] for line in said] == ["queued", "running", "succeeded"]
    assert ended.state.name == "JOB_STATE_SUCCEEDED"
    assert links(PLACE, job) == {
        "job": "https://console.cloud.google.com/vertex-ai/locations/europe-west4/training/42?project=my-project",
        "log": "https://console.cloud.google.com/logs/query;query=resource.type%3D%22ml_job%22%20"
        "resource.labels.job_id%3D%2242%22?project=my-project",
    }


def test_to_a_bad_end() -> None:
    failed = {"state": api.JobState.JOB_STATE_FAILED, "error": Status(code=9, message="the replica exited with 2")}
    with serving(FakeVertex([RUNNING, failed])) as client:
        job = create(client, PLACE, JOB)
        with pytest.raises(JobFailed, match="customJobs/42 failed: the replica exited with 2"):
            follow(client, job, seconds=0, say=lambda line: None)


def test_refused() -> None:
    refusal = "the service account does not exist"
    with serving(FakeVertex(refuse=refusal)) as client, pytest.raises(UserError, match=f"refused the job: {refusal}"):
        create(client, PLACE, JOB)


def _trial(number: int, recall: float | None) -> api.Trial:
    values = [api.Trial.Parameter(parameter_id="loss.temperature", value=0.1 * number)]
    trial = api.Trial(id=str(number), state=api.Trial.State.SUCCEEDED, parameters=values)
    if recall is not None:
        trial.final_measurement = api.Measurement(metrics=[api.Measurement.Metric(metric_id="recall", value=recall)])
    return trial


def test_a_search() -> None:
    said: list[str] = []
    trials = [_trial(1, 0.25), _trial(2, 0.5), _trial(3, None)]
    states = [RUNNING, {"trials": trials[:1]}, {**SUCCEEDED, "trials": trials}]
    with serving(FakeVertex(states)) as client:
        job = create(client, PLACE, api.HyperparameterTuningJob(max_trial_count=3))
        ended = follow(client, job, seconds=0, say=said.append)
    assert links(PLACE, job)["job"].endswith("/hyperparameter-tuning-jobs/42?project=my-project")
    assert [line.split("s  ", 1)[1] for line in said] == [
        "running, 0 of 3 trials",
        "running, 1 of 3 trials, best 0.2500 in trial 1",
        "succeeded, 3 of 3 trials, best 0.5000 in trial 2",
    ]
    assert isinstance(ended, api.HyperparameterTuningJob)
    assert best_trial(ended) == ("2", 0.5, {"loss.temperature": 0.2})
