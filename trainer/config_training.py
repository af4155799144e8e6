"""The `trainer:` section's part on the loop: what it watches, how long it runs, on which devices."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from preprocessing.command.experiment import Section


class ValidationConfig(Section):
    """A cheap figure while training: recall over the catalogue, of a sample of validation requests."""

    every_steps: int = Field(200, ge=0)  # 0: off; the last checkpoint counts as the best
    requests: int = Field(2048, gt=0)
    k: int = Field(100, gt=0)
    items: int | None = Field(None, gt=0)  # about so many of the catalogue, and all answers; all by default
    block: int = Field(4_096, gt=0)  # items embedded and scored at once

    @property
    def figure(self) -> str:
        """What is measured, in words."""
        return f"recall@{self.k}" + ("" if self.items is None else f" among about {self.items:,} items")


class TrainingConfig(Section):
    """The loop."""

    epochs: float = Field(4, gt=0)
    steps: int | None = Field(None, gt=0)  # instead of epochs
    steps_per_call: int = Field(20, gt=0)  # steps inside one compiled call
    checkpoint_every_steps: int = Field(200, gt=0)
    keep_checkpoints: int = Field(2, gt=0)
    histograms: bool = True
    mixed_precision: bool = False  # bfloat16 matrix products, for a GPU
    padded: bool = False  # lists of few widths in place of ragged ones: for devices that know no lists
    xla: bool = False  # of padded lists: the towers and the loss, forward and backward, as one compiled call

    @model_validator(mode="after")
    def _what_is_compiled_is_padded(self) -> TrainingConfig:
        if self.xla and not self.padded:
            raise ValueError("xla compiles a step once for every shape: set padded, so that there are few")
        return self


class DistributionConfig(Section):
    """none: one device; mirrored: the GPUs of one machine; multiworker, parameter_server: machines, by TF_CONFIG.

    Machines of multiworker make each step together. Workers of parameter_server make steps of their own on tables that
    lie in parts on its servers, and so may be larger than a machine.
    """

    strategy: Literal["none", "mirrored", "multiworker", "parameter_server"] = "none"
    devices: tuple[str, ...] = ()  # for mirrored; empty: every GPU, or the CPU
