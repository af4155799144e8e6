"""Two workers, each a process that reads its own files, make the steps of one device."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.ports import free_ports
from tests.trainer.conftest import command, finish, flags
from tests.trainer.training.replicas import STILL, agree, weights, write_settings
from trainer.data.catalog_requests import joined
from trainer.task import main
from trainer.training.loop import Trainer


def batches_of_both(self: Trainer, step: int) -> Iterator[Any]:
    """What two workers read, each from its own files, as one batch."""
    parts = tuple(self.data.batches(step, 2, worker, 2) for worker in (0, 1))
    both = tf.data.Dataset.zip(parts)
    return iter(both.map(lambda one, other: {kind: joined(one[kind], other[kind]) for kind in one}))


def test_two_worker_processes(market: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With levels, which two devices of one process are not asked for: the gathering is the same."""
    settings, data = write_settings(tmp_path), str(market / "data")
    levels = "loss.levels={purchase: 2, click: 1, exposure: 0.5}"
    with monkeypatch.context() as patched:
        patched.setattr(Trainer, "batches", batches_of_both)
        main(list(flags(settings, data, tmp_path / "alone", *STILL, levels)))
    cluster = {"worker": [f"127.0.0.1:{port}" for port in free_ports(2)]}
    overrides = (*STILL, levels, "distribution.strategy=multiworker")
    workers = [
        command(
            *flags(settings, data, tmp_path / "job", *overrides),
            TF_CONFIG=json.dumps({"cluster": cluster, "task": {"type": "worker", "index": index}}),
        )
        for index in range(2)
    ]
    said = [finish(worker) for worker in workers]
    assert "step 8/8" in said[0] and "step 8/8" not in said[1]
    # The chief alone validates, and both know what came out.
    assert "step 8: recall@20" in said[0] and "step 8: recall@20" not in said[1]
    best = [re.findall(r"best recall@20 [0-9.]+", one) for one in said]
    assert best[0] == best[1] and len(best[0]) == 1
    agree(weights(tmp_path / "alone"), weights(tmp_path / "job"))
    assert (tmp_path / "job/towers/query/saved_model.pb").exists()
