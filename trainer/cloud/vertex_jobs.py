"""A training, or a search, as the client library's own messages."""

from __future__ import annotations

from google.cloud.aiplatform_v1 import types as api
from google.protobuf import duration_pb2

from trainer.cloud.machines import GPUS
from trainer.cloud.submission import Submission
from trainer.cloud.vertex_study import study_of
from trainer.config import TrainerConfig

_TASK, _TRIAL = "trainer.task", "trainer.cloud.vertex_trial"


def custom_job(submission: Submission, config_path: str) -> api.CustomJob:
    """One training, by the config at `config_path`."""
    return api.CustomJob(
        display_name=submission.name,
        labels=submission.labels,
        job_spec=_job_spec(submission, _TASK, config_path),
    )


def tuning_job(
    submission: Submission, config: TrainerConfig, config_path: str, parallel: int
) -> api.HyperparameterTuningJob:
    """The search of the config's `tune.ranges`; each trial is a training in `<job-dir>/<trial>`."""
    return api.HyperparameterTuningJob(
        display_name=submission.name,
        labels=submission.labels,
        study_spec=study_of(config),
        max_trial_count=config.tune.trials,
        parallel_trial_count=min(parallel, config.tune.trials),
        trial_job_spec=_job_spec(submission, _TRIAL, config_path),
    )


def _job_spec(submission: Submission, module: str, config_path: str) -> api.CustomJobSpec:
    strategy = api.Scheduling.Strategy
    return api.CustomJobSpec(
        worker_pool_specs=_pools(submission, module, config_path),
        scheduling=api.Scheduling(
            timeout=duration_pb2.Duration(seconds=round(submission.hours * 3600)),
            # All machines begin again together, and go on from the last checkpoint.
            restart_job_on_worker_restart=True,
            strategy=strategy.SPOT if submission.machines.spot else strategy.STANDARD,
        ),
        service_account=submission.service_account or "",
        base_output_directory=api.GcsDestination(output_uri_prefix=submission.job_dir),
        tensorboard=submission.tensorboard or "",
    )


def _pools(submission: Submission, module: str, config_path: str) -> list[api.WorkerPoolSpec]:
    """The first pool is one machine, which TF_CONFIG calls the chief; then come the workers, then the servers (ps)."""
    machines = submission.machines
    args = ["--config", config_path, "--data", submission.data, "--job-dir", submission.job_dir]
    program: dict[str, api.ContainerSpec | api.PythonPackageSpec]
    if submission.package is None:
        command = ["python", "-m", module]
        program = {"container_spec": api.ContainerSpec(image_uri=submission.image, command=command, args=args)}
    else:
        package = api.PythonPackageSpec(
            executor_image_uri=submission.image, package_uris=[submission.package], python_module=module, args=args
        )
        program = {"python_package_spec": package}
    machine = api.MachineSpec(machine_type=machines.type)
    if machines.gpu is not None:
        machine.accelerator_type = getattr(api.AcceleratorType, GPUS[machines.gpu])
        machine.accelerator_count = machines.gpus
    disk = api.DiskSpec(boot_disk_type="pd-ssd", boot_disk_size_gb=submission.disk_gb)
    if machines.servers:
        server = api.MachineSpec(machine_type=machines.server_type)
        pools = [(server, 1), (machine, machines.replicas), (server, machines.servers)]
    else:
        pools = [(machine, 1), (machine, machines.replicas - 1)][: min(2, machines.replicas)]
    return [
        api.WorkerPoolSpec(machine_spec=one, replica_count=count, disk_spec=disk, **program) for one, count in pools
    ]
