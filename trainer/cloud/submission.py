"""What is asked of Vertex AI, apart from the experiment itself."""

from __future__ import annotations

from typing import NamedTuple

from trainer.cloud.machines import Machines


class ProjectRegion(NamedTuple):
    """Where the job belongs."""

    project: str
    region: str

    @property
    def parent(self) -> str:
        """As the API names it."""
        return f"projects/{self.project}/locations/{self.region}"


class Submission(NamedTuple):
    """Everything about a job but the experiment itself."""

    name: str
    image: str
    data: str
    job_dir: str
    machines: Machines
    hours: float = 24
    labels: dict[str, str] = {}  # noqa: RUF012 (never changed)
    service_account: str | None = None
    tensorboard: str | None = None
    disk_gb: int = 100
    package: str | None = None  # an sdist to install into the image first
