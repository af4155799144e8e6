"""What a job takes over from earlier days: another job's weights, and a share of their records."""

from __future__ import annotations

from pydantic import Field

from preprocessing.command.experiment import Section


class InitConfig(Section):
    """What a job starts from in place of chance."""

    job: str | None = None  # the folder of another job, as --init-from names it
    optimizer: bool = True  # with all that its optimizer has summed up; off: that starts anew


class OlderConfig(Section):
    """Requests of earlier days among the new ones, against forgetting."""

    folders: tuple[str, ...] = ()  # data folders whose ids mean the same, as --older names them
    share: float = Field(0.6, gt=0, lt=1)  # of a batch; with a fifth, a day's own requests are learned by heart
