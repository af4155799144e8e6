"""Which Beam runner runs a job: the one the flags name, or on this machine Beam's own engine."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    GoogleCloudOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
)
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner import FnApiRunner

# Nothing but the runner's constructor speaks of it, and without it a worker process never learns the job's options.
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineResult, PipelineRunner
from rich.console import Console

from preprocessing.command.console import UserError, nearest

_SECOND_PROCESS_FROM = 64 << 20  # bytes of input from which worker processes repay their start


def beam_options(flags: Sequence[str], own_flags: Sequence[str], size: int) -> PipelineOptions:
    """Beam's options for `size` bytes of input; a flag that nobody knows is a mistake, not a silence."""
    _check_flags(list(flags), own_flags)
    options = PipelineOptions(list(flags), pickle_library="cloudpickle")
    if _runs_here(options):
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "ERROR"
        if not any(flag.startswith("--direct_") for flag in flags) and size > _SECOND_PROCESS_FROM:
            options.view_as(DirectOptions).direct_running_mode = "multi_processing"
            options.view_as(DirectOptions).direct_num_workers = os.cpu_count() or 1
    return options


def _check_flags(flags: list[str], own_flags: Sequence[str]) -> None:
    def check(known: argparse.ArgumentParser) -> None:
        known.exit_on_error = False
        try:
            unknown = [flag.split("=")[0] for flag in known.parse_known_args(flags)[1]]
        except argparse.ArgumentError as error:
            raise UserError(f"{error}; it is a flag of Beam's") from None
        if unknown:
            names = (*known._option_string_actions, *own_flags)
            raise UserError(f"unknown flag {unknown[0]}{nearest(unknown[0], names)}")

    PipelineOptions([]).get_all_options(add_extra_args_fn=check)  # hands over the parser of every option there is


def _runs_here(options: PipelineOptions) -> bool:
    return options.view_as(StandardOptions).runner in (None, "DirectRunner")


class LocalRunner(FnApiRunner):
    """The engine behind Beam's DirectRunner, with workers that start without a word.

    The switch behind that name would first try a runner that it downloads, and after a failure run all again.
    """

    def run_via_runner_api(self, pipeline_proto: beam_runner_api_pb2.Pipeline, options: PipelineOptions) -> Any:
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = f"{sys.executable} -m preprocessing.command.beam_worker".encode()
        return super().run_via_runner_api(pipeline_proto, options)


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline for the runner that the options name."""
    if _on_dataflow(options):  # its messages are all that a user sees of a job far away
        logging.getLogger("apache_beam").setLevel(logging.INFO)
    try:
        return beam.Pipeline(runner=runner_of(options), options=options)
    except (ValueError, ImportError) as error:
        runner = options.view_as(StandardOptions).runner
        raise UserError(f"--runner {runner}: {str(error).removeprefix('Pipeline has validations errors: ')}") from None


def runner_of(options: PipelineOptions) -> str | PipelineRunner | None:
    """The runner that the options name."""
    if not _runs_here(options):
        return options.view_as(StandardOptions).runner
    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options())
    provision = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return LocalRunner(provision_info=ExtendedProvisionInfo(provision))


def run_to_end(pipeline: beam.Pipeline) -> None:
    """Runs a pipeline; where its runner has a page for the job, says first where that is."""
    result = pipeline.run()
    page = job_page(result, pipeline.options)
    if page is not None:
        Console(stderr=True, soft_wrap=True).print(page, highlight=False)
    result.wait_until_finish()


def job_page(result: PipelineResult, options: PipelineOptions) -> str | None:
    """The id of a job on Dataflow and where to watch it; a template launches none."""
    if not _on_dataflow(options) or not getattr(result, "has_job", False):
        return None
    job_id, cloud = result.job_id(), options.view_as(GoogleCloudOptions)  # type: ignore[attr-defined]
    link = f"https://console.cloud.google.com/dataflow/jobs/{cloud.region}/{job_id}?project={cloud.project}"
    return f"job {job_id}: {link}"


def _on_dataflow(options: PipelineOptions) -> bool:
    return "dataflow" in (options.view_as(StandardOptions).runner or "").lower()
