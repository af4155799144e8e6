"""Folders that every worker of a run reads: whoever asks first makes one, the others wait for it."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest


class MadeOnce:
    """`made_once("market", make)`: the folder that `make(folder)` filled. Nobody writes into it afterwards."""

    def __init__(self, factory: pytest.TempPathFactory) -> None:
        own = factory.getbasetemp()
        self._place = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "shared"
        self._place.mkdir(exist_ok=True)

    def __call__(self, name: str, make: Callable[[Path], object]) -> Path:
        folder, whole = self._place / name, self._place / f"{name}.whole"
        with (self._place / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not whole.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                whole.touch()
        return folder
