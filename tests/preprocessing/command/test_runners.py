"""The runner that the flags name, and where its job can be watched."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import apache_beam as beam
import pytest
from apache_beam.options.pipeline_options import PipelineOptions
from apache_beam.runners.runner import PipelineResult, PipelineRunner, PipelineState

from preprocessing.command.console import UserError
from preprocessing.command.runners import beam_options, job_page, new_pipeline, run_to_end

DATAFLOW = ["--runner=DataflowRunner", "--project=shop", "--region=europe-west4", "--temp_location=gs://b/tmp"]
LINK = "https://console.cloud.google.com/dataflow/jobs/europe-west4/2026-11-26_1?project=shop"


class FakeResult(PipelineResult):
    """A job that somebody else runs."""

    has_job = True

    def __init__(self) -> None:
        super().__init__(PipelineState.DONE)
        self.waited = False

    def job_id(self) -> str:
        return "2026-11-26_1"

    def wait_until_finish(self, duration: int | None = None) -> str:
        self.waited = True
        return PipelineState.DONE


class FakeRunner(PipelineRunner):
    """Runs nothing."""

    def __init__(self, result: FakeResult) -> None:
        self._result = result

    def run_pipeline(self, pipeline: beam.Pipeline, options: PipelineOptions) -> FakeResult:
        return self._result


@pytest.fixture
def beam_log() -> Iterator[logging.Logger]:
    log = logging.getLogger("apache_beam")
    before = log.level
    log.setLevel(logging.CRITICAL)
    yield log
    log.setLevel(before)


def test_a_job_on_dataflow_is_told_with_its_page_before_the_wait(capsys: pytest.CaptureFixture[str]) -> None:
    result = FakeResult()
    run_to_end(beam.Pipeline(runner=FakeRunner(result), options=PipelineOptions(DATAFLOW)))
    assert capsys.readouterr().err == f"job 2026-11-26_1: {LINK}\n"
    assert result.waited


def test_no_page_is_told_of_a_job_that_has_none() -> None:
    assert job_page(FakeResult(), PipelineOptions([])) is None
    template = FakeResult()
    template.has_job = False
    assert job_page(template, PipelineOptions(DATAFLOW)) is None


def test_beam_speaks_of_a_job_far_away_and_not_of_one_here(
    beam_log: logging.Logger, monkeypatch: pytest.MonkeyPatch
) -> None:
    new_pipeline(beam_options([], [], 0))
    assert beam_log.level == logging.CRITICAL
    monkeypatch.setattr(beam, "Pipeline", lambda **_: None)  # the real one asks Google for a bucket
    new_pipeline(beam_options(DATAFLOW, [], 0))
    assert beam_log.level == logging.INFO


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--direct_num_worker=2"], "unknown flag --direct_num_worker; did you mean '--direct_num_workers'"),
        (["--ouput=x"], "unknown flag --ouput; did you mean '--output'"),
        (["--direct_num_workers=many"], "direct_num_workers.*many.*flag of Beam's"),
    ],
)
def test_a_wrong_flag_is_told_in_a_line(flags: list[str], message: str) -> None:
    with pytest.raises(UserError, match=message):
        beam_options(flags, ["--output"], 0)


def test_much_input_is_read_by_a_process_a_core() -> None:
    assert beam_options([], [], 1).get_all_options()["direct_running_mode"] == "in_memory"
    assert beam_options([], [], 1 << 30).get_all_options()["direct_running_mode"] == "multi_processing"
    given = beam_options(["--direct_num_workers=1"], [], 1 << 30).get_all_options()
    assert given["direct_running_mode"] == "in_memory"
