"""Which Beam runner runs a job: the one the flags name, or on this machine Beam's own engine."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence

import apache_beam as beam
from apache_beam.options.pipeline_options import (
    DirectOptions,
    PipelineOptions,
    StandardOptions,
    WorkerOptions,
    _BeamArgumentParser,
)
from apache_beam.portability import python_urns
from apache_beam.portability.api import beam_provision_api_pb2, beam_runner_api_pb2
from apache_beam.runners.portability.fn_api_runner.fn_runner import ExtendedProvisionInfo, FnApiRunner, RunnerResult
from apache_beam.runners.portability.portable_runner import JobServiceHandle
from apache_beam.runners.runner import PipelineRunner

from preprocessing.command.console import UserError, nearest

_SECOND_PROCESS_FROM = 64 << 20  # bytes of input from which worker processes repay their start


def beam_options(flags: Sequence[str], own_flags: Sequence[str], size: int) -> PipelineOptions:
    """Beam's options for `size` bytes of input; a flag that nobody knows is a mistake, not a silence."""
    known = _BeamArgumentParser(allow_abbrev=False, add_help=False, exit_on_error=False)
    for kind in PipelineOptions.__subclasses__():
        with contextlib.suppress(argparse.ArgumentError):
            kind._add_argparse_args(known)  # type: ignore[attr-defined]
    try:
        unknown = [flag.split("=")[0] for flag in known.parse_known_args(list(flags))[1]]
    except argparse.ArgumentError as error:
        raise UserError(f"{error}; it is a flag of Beam's") from None
    if unknown:
        names = [name for action in known._actions for name in action.option_strings]
        raise UserError(f"unknown flag {unknown[0]}{nearest(unknown[0], (*names, *own_flags))}")
    options = PipelineOptions(list(flags), pickle_library="cloudpickle")
    if _runs_here(options):
        options.view_as(WorkerOptions).default_sdk_harness_log_level = "ERROR"
        if not any(flag.startswith("--direct_") for flag in flags) and size > _SECOND_PROCESS_FROM:
            options.view_as(DirectOptions).direct_running_mode = "multi_processing"
            options.view_as(DirectOptions).direct_num_workers = os.cpu_count() or 1
    return options


def _runs_here(options: PipelineOptions) -> bool:
    return options.view_as(StandardOptions).runner in (None, "DirectRunner")


class LocalRunner(FnApiRunner):
    """The engine behind Beam's DirectRunner, with workers that start without a word.

    The switch behind that name would first try a runner that it downloads, and after a failure run all again.
    """

    def run_via_runner_api(
        self, pipeline_proto: beam_runner_api_pb2.Pipeline, options: PipelineOptions
    ) -> RunnerResult:
        for environment in pipeline_proto.components.environments.values():
            if environment.urn == python_urns.SUBPROCESS_SDK:
                environment.payload = f"{sys.executable} -m preprocessing.command.beam_worker".encode()
        return super().run_via_runner_api(pipeline_proto, options)


def new_pipeline(options: PipelineOptions) -> beam.Pipeline:
    """An empty pipeline for the runner that the options name."""
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
