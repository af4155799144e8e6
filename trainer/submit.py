"""python -m trainer.submit: a training, or a search, as a job of Vertex AI."""

from __future__ import annotations

import argparse
import hashlib
import re
import sys
from collections.abc import Sequence
from typing import Any

from preprocessing.command.console import UserError, fail, run_command
from preprocessing.command.experiment import load_section, resolved_yaml
from preprocessing.command.flags import Flags
from trainer.cloud.machines import GPUS, Machines
from trainer.cloud.submission import ProjectRegion, Submission
from trainer.config import TrainerConfig

_HELP = """\
Submits trainer.task to Vertex AI as a custom job, or with --tune the search of the config's trainer.tune.ranges as a
hyperparameter tuning job. The resolved config is written to <job-dir>/submit/. The machines decide how training is
distributed: several GPUs are mirrored, several replicas are workers by TF_CONFIG, and with --servers they train on
tables that lie in parts on parameter servers. A job that is interrupted, or submitted again with the same folder,
resumes from its last checkpoint.

examples:
  python -m trainer.submit --config configs/mgdspr.yaml --data gs://b/data --job-dir gs://b/jobs/mgdspr --project p \\
      --region europe-west4 --image europe-west4-docker.pkg.dev/p/multigrain/trainer:1 --dry-run
  python -m trainer.submit ... --machine-type g2-standard-24 --gpu L4 --gpus 2 --spot --wait
  python -m trainer.submit ... --machine-type n1-standard-16 --replicas 4
  python -m trainer.submit ... --machine-type n1-standard-16 --replicas 8 --servers 4
  python -m trainer.submit ... --tune --parallel 4 --set trainer.tune.trials=40
"""
_RULES = {
    "project": (r"[a-z][a-z0-9:.-]{4,61}[a-z0-9]", "a project's id, as in my-project-1"),
    "region": (r"[a-z]+-[a-z]+\d+", "a region, as in europe-west4"),
    "image": (r"[a-z0-9.-]+(:\d+)?(/[a-z0-9._-]+)+(:[\w.-]{1,128})?(@sha256:[0-9a-f]{64})?", "a container image"),
    "data": (r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9]/.+", "a folder on gs://, as in gs://bucket/data"),
    "job_dir": (r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9]/.+", "a folder on gs://, as in gs://bucket/jobs/one"),
    "package": (r"gs://[a-z0-9][a-z0-9._-]+[a-z0-9]/.+\.(tar\.gz|whl)", "an sdist or a wheel on gs://"),
    "service_account": (
        r"[\w.-]+@[\w.-]+\.gserviceaccount\.com",
        "an account, as in name@project.iam.gserviceaccount.com",
    ),
    "tensorboard": (r"projects/[^/]+/locations/[^/]+/tensorboards/\d+", "projects/P/locations/R/tensorboards/NUMBER"),
}
_LABEL = re.compile(r"([a-z][a-z0-9_-]{0,62})=([a-z0-9_-]{0,63})")


def arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(
        prog="python -m trainer.submit",
        description=_HELP,
    )
    flags.add_argument("--config", required=True, help="the experiment's YAML, here or on gs://")
    flags.add_argument("--set", action="append", default=[], metavar="A.B=C", help="overrides one key of the config")
    flags.add_argument("--data", required=True, help="the folder on gs:// that preprocessing.pipeline wrote")
    flags.add_argument("--job-dir", required=True, help="folder on gs:// for checkpoints, logs and towers")
    flags.add_argument("--project", required=True, help="the Google Cloud project")
    flags.add_argument("--region", required=True, help="where the machines are, as in europe-west4")
    flags.add_argument("--image", required=True, help="the trainer's container image (deploy/trainer.Dockerfile)")
    flags.add_argument("--package", metavar="SDIST", help="this package's sdist on gs://, for an --image without it")
    flags.add_argument("--name", help="the job's display name (default multigrain-MODEL)")
    _machine_flags(flags.add_argument_group("machines"))
    flags.add_argument("--hours", type=float, default=24, help="stop the job after so many hours (default %(default)s)")
    flags.add_argument(
        "--label", action="append", default=[], metavar="KEY=VALUE", help="a label of the job; may be repeated"
    )
    flags.add_argument("--service-account", help="the account the job acts as; Vertex AI's own by default")
    flags.add_argument(
        "--tensorboard", metavar="NAME", help="projects/P/locations/R/tensorboards/NUMBER to show logs in"
    )
    flags.add_argument(
        "--tune", action="store_true", help="search trainer.tune.ranges; one folder a trial in --job-dir"
    )
    flags.add_argument("--parallel", type=int, default=2, help="trials at once, with --tune (default %(default)s)")
    flags.add_argument("--dry-run", action="store_true", help="print the job as JSON and send nothing")
    flags.add_argument("--wait", action="store_true", help="follow the job to its end; status 1 if it fails")
    return flags.parse_args(argv)


def _machine_flags(group: Any) -> None:
    group.add_argument("--machine-type", default="n1-standard-8", help="of every replica (default %(default)s)")
    group.add_argument("--gpu", metavar="TYPE", help=f"one of {', '.join(GPUS)}")
    group.add_argument("--gpus", type=int, default=0, metavar="N", help="GPUs in each machine")
    group.add_argument("--replicas", type=int, default=1, metavar="N", help="machines (default %(default)s)")
    group.add_argument(
        "--servers",
        type=int,
        default=0,
        metavar="N",
        help="parameter servers, over which tables are spread (default 0)",
    )
    group.add_argument(
        "--server-type",
        default="n1-highmem-8",
        metavar="TYPE",
        help="of the servers and the chief (default %(default)s)",
    )
    group.add_argument("--disk-gb", type=int, default=100, help="boot disk, 100 or more (default %(default)s)")
    group.add_argument("--spot", action="store_true", help="cheaper machines that may be taken away; the job resumes")


def submission_of(flags: argparse.Namespace, config: TrainerConfig) -> Submission:
    """The flags, each checked, so that the service has nothing left to refuse."""
    for name, (pattern, wanted) in _RULES.items():
        value = getattr(flags, name)
        if value is not None and not re.fullmatch(pattern, value):
            raise UserError(f"--{name.replace('_', '-')} {value}: not {wanted}")
    if not 0 < flags.hours <= 7 * 24:
        raise UserError(f"--hours {flags.hours:g}: above 0 and at most 168, which is Vertex AI's limit")
    if flags.disk_gb < 100:
        raise UserError(f"--disk-gb {flags.disk_gb}: at least 100")
    if flags.parallel < 1:
        raise UserError(f"--parallel {flags.parallel}: at least 1")
    if flags.tensorboard and not flags.service_account:
        raise UserError("--tensorboard needs --service-account: Vertex AI writes to the instance as that account")
    if flags.tune and flags.servers:
        raise UserError("--tune does not go with --servers: search on machines that make their steps together")
    machines = Machines(
        flags.machine_type, flags.gpu, flags.gpus, flags.replicas, flags.spot, flags.servers, flags.server_type
    )
    machines.check()
    machines.check_config(config)
    return Submission(
        name=flags.name or f"multigrain-{config.model}",
        image=flags.image,
        data=flags.data.rstrip("/"),
        job_dir=flags.job_dir.rstrip("/"),
        machines=machines,
        hours=flags.hours,
        labels=dict(_label(text) for text in flags.label),
        service_account=flags.service_account,
        tensorboard=flags.tensorboard,
        disk_gb=flags.disk_gb,
        package=flags.package,
    )


def _label(text: str) -> tuple[str, str]:
    found = _LABEL.fullmatch(text)
    if not found:
        raise UserError(f"--label {text}: expected key=value of lower-case letters, digits, - and _, 63 at most")
    return found[1], found[2]


def build(flags: argparse.Namespace) -> tuple[Any, str, str]:
    """(the job, the path its config is to have, that config's text)."""
    from trainer.cloud.vertex_jobs import custom_job, tuning_job

    config = load_section(flags.config, "trainer", TrainerConfig, flags.set)
    submission = submission_of(flags, config)
    config = config.model_copy(update={"distribution": submission.machines.distribution})
    if flags.tune and not config.tune.ranges:
        raise UserError(
            f"{flags.config}: nothing to search; give trainer.tune.ranges a key, as in "
            "optimizer.embedding_rate: {low: 0.01, high: 1, log: true}"
        )
    text = resolved_yaml("trainer", config.without_search())
    # Named by its content: what a running job reads is never written over.
    path = f"{submission.job_dir}/submit/{hashlib.sha256(text.encode()).hexdigest()[:16]}.yaml"
    if flags.tune:
        return tuning_job(submission, config, path, flags.parallel), path, text
    return custom_job(submission, path), path, text


def send_config(data_dir: str, path: str, text: str) -> None:
    """Puts the config where the job will read it, after a look at the data."""
    from apache_beam.io.filesystems import FileSystems

    from preprocessing.data.data_folder import SUCCESS

    try:
        if not FileSystems.exists(f"{data_dir}/{SUCCESS}"):
            raise UserError(f"--data {data_dir}: no {SUCCESS} in it; run python -m preprocessing.pipeline first")
        with FileSystems.create(path, "text/plain") as file:
            file.write(text.encode())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be written: {error}") from None


def main(argv: list[str] | None = None) -> int:
    """The command."""
    flags = arguments(argv)
    try:
        import google.cloud.aiplatform_v1  # noqa: F401 (seconds: not before the flags are read)
    except ImportError:
        raise UserError("google-cloud-aiplatform is not installed: pip install multigrain[gcp]") from None
    job, path, text = build(flags)
    if flags.dry_run:
        print(type(job).to_json(job, use_integers_for_enums=False, always_print_fields_with_no_presence=False))
        return 0
    from trainer.cloud.follow import client_of, create, links

    place = ProjectRegion(flags.project, flags.region)
    client = client_of(place.region)
    send_config(flags.data.rstrip("/"), path, text)
    job = create(client, place, job)
    print(job.name)
    for name, link in links(place, job).items():
        print(f"{name}: {link}", file=sys.stderr)
    if flags.wait:
        _wait(client, job, flags)
    return 0


def _wait(client: Any, job: Any, flags: argparse.Namespace) -> None:
    from trainer.cloud.follow import JobFailed, best_trial, follow

    try:
        job = follow(client, job, seconds=15)
    except JobFailed as failed:
        fail(str(failed), status=1)
    except KeyboardInterrupt:
        fail(f"no longer followed; {job.name} goes on in the cloud", status=130)
    best = best_trial(job) if flags.tune else None
    if best:
        values = ", ".join(f"{key} {value}" for key, value in best[2].items())
        print(f"best: trial {best[0]}, recall {best[1]:.4f} ({values})")
    print(f"towers are in {flags.job_dir.rstrip('/')}{f'/{best[0]}' if best else ''}/towers")


if __name__ == "__main__":
    run_command(main)
