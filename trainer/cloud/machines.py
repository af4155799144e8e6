"""The machines of a job: their type, their GPUs, how many, and what strategy they train by."""

from __future__ import annotations

import re
from typing import NamedTuple

from preprocessing.command.console import UserError, nearest
from trainer.config import TrainerConfig
from trainer.config_training import DistributionConfig

# The GPU names of the API, by how people write them.
GPUS = {
    "T4": "NVIDIA_TESLA_T4",
    "P4": "NVIDIA_TESLA_P4",
    "P100": "NVIDIA_TESLA_P100",
    "V100": "NVIDIA_TESLA_V100",
    "L4": "NVIDIA_L4",
    "A100": "NVIDIA_TESLA_A100",
    "A100_80GB": "NVIDIA_A100_80GB",
    "H100": "NVIDIA_H100_80GB",
    "H100_MEGA": "NVIDIA_H100_MEGA_80GB",
    "H200": "NVIDIA_H200_141GB",
}
# Machine types that come with one kind of GPU; others (n1) take what is asked for.
_FAMILIES = {
    "g2-": "L4",
    "a2-highgpu-": "A100",
    "a2-megagpu-": "A100",
    "a2-ultragpu-": "A100_80GB",
    "a3-highgpu-": "H100",
    "a3-megagpu-": "H100_MEGA",
    "a3-ultragpu-": "H200",
}
_ATTACHABLE = ("T4", "P4", "P100", "V100")  # to n1 machines
_TYPE = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)+")


class Machines(NamedTuple):
    """`replicas` machines of one type, `gpus` a machine; with parameter servers they are its workers."""

    type: str
    gpu: str | None = None
    gpus: int = 0
    replicas: int = 1
    spot: bool = False
    servers: int = 0
    server_type: str = "n1-highmem-8"  # of the servers and of the chief, which trains nothing itself

    @property
    def devices(self) -> int:
        """What makes a step together."""
        return 1 if self.servers else self.replicas * max(1, self.gpus)

    @property
    def distribution(self) -> DistributionConfig:
        """The strategy that these machines train by."""
        if self.servers:
            return DistributionConfig(strategy="parameter_server")
        if self.replicas > 1:
            return DistributionConfig(strategy="multiworker")
        return DistributionConfig(strategy="mirrored" if self.gpus > 1 else "none")

    def check(self) -> None:
        """Machines that cannot be had are refused here, not after minutes in a queue."""
        if not _TYPE.fullmatch(self.type):
            raise UserError(f"--machine-type {self.type}: not a machine type, as in n1-standard-8 or g2-standard-8")
        if self.gpu is not None and self.gpu not in GPUS:
            raise UserError(f"--gpu {self.gpu}: unknown{nearest(self.gpu, GPUS)}")
        if self.gpus < 0 or self.replicas < 1:
            raise UserError(f"--gpus {self.gpus} --replicas {self.replicas}: at least 0 and 1 are needed")
        if (self.gpu is None) != (self.gpus == 0):
            raise UserError("--gpu and --gpus belong together, as in --gpu L4 --gpus 2")
        self._check_family()
        self._check_servers()

    def _check_servers(self) -> None:
        if self.servers < 0:
            raise UserError(f"--servers {self.servers}: at least 0")
        if self.servers and self.gpus > 1:
            raise UserError(f"--servers {self.servers} --gpus {self.gpus}: a worker of parameter servers has one GPU")
        if not _TYPE.fullmatch(self.server_type):
            raise UserError(f"--server-type {self.server_type}: not a machine type, as in n1-highmem-8")

    def _check_family(self) -> None:
        wanted = next((gpu for family, gpu in _FAMILIES.items() if self.type.startswith(family)), None)
        if wanted is not None and self.gpu != wanted:
            raise UserError(f"--machine-type {self.type} comes with {wanted}: add --gpu {wanted} --gpus N")
        inside = re.search(r"gpu-(\d+)g$", self.type)
        if inside and self.gpus != int(inside[1]):
            raise UserError(f"--machine-type {self.type} has {inside[1]} GPUs, not --gpus {self.gpus}")
        if wanted is None and self.gpu is not None:
            if self.gpu not in _ATTACHABLE:
                families = ", ".join(f"{family}*" for family, gpu in _FAMILIES.items() if gpu == self.gpu)
                raise UserError(f"--gpu {self.gpu} comes with its own machine types ({families}), not {self.type}")
            if not self.type.startswith("n1-"):
                raise UserError(f"--gpu {self.gpu} can be attached to n1-* machines, not to {self.type}")

    def check_config(self, config: TrainerConfig) -> None:
        """A step must deal out evenly over the devices."""
        shares = {"data.batch": [config.data.batch], "loss.catalog_negatives": [config.loss.catalog_negatives]}
        for key in shares.keys() & config.tune.ranges.keys():
            given = config.tune.ranges[key]
            if self.devices > 1 and not given.choices:
                raise UserError(f"trainer.tune.ranges: {key} over {self.devices} devices needs choices, not a range")
            shares[key] += given.choices
        for key, count in ((key, count) for key, counts in shares.items() for count in counts):
            if count % self.devices:
                raise UserError(
                    f"trainer.{key} ({count}) cannot be dealt out evenly over {self.devices} devices; "
                    f"{-(-count // self.devices) * self.devices} could"
                )
