"""A folder aside that says whether its owner still lives, on storage that several hosts and containers share."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

PREFIX = ".staging-"
_OWNER = ".owner"
_BEATS_S = 30.0
_DEAD_S = 600.0  # behind the last beat of an owner whose lock cannot be trusted here


@contextlib.contextmanager
def staging(folder: Path) -> Iterator[Path]:
    """A new folder in `folder` under a random name; gone at the end, and what dead owners left goes at the start."""
    folder.mkdir(parents=True, exist_ok=True)
    aside = folder / f"{PREFIX}{secrets.token_hex(8)}"
    aside.mkdir()
    try:
        with _owned(aside) as owner:
            for other in folder.glob(f"{PREFIX}*"):
                if other != aside and _is_dead(other, owner):
                    shutil.rmtree(other, ignore_errors=True)
            yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


@contextlib.contextmanager
def _owned(aside: Path) -> Iterator[Path]:
    """Holds a lock in the folder, and touches it again and again: some shared storage has no locks across hosts."""
    path, done = aside / _OWNER, threading.Event()
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.write(_mount(aside))
        file.flush()

        def beat() -> None:
            while not done.wait(_BEATS_S):
                with contextlib.suppress(OSError):
                    os.utime(path)

        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield path
        finally:
            done.set()
            thread.join()


def _is_dead(aside: Path, ours: Path) -> bool:
    """Whether nobody owns the folder: its lock is free, and is one that we see, or nobody has touched it for long."""
    owner = aside / _OWNER
    try:
        with owner.open() as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if file.read() == _mount(aside):
                return True
            os.utime(ours)  # the storage's clock, not this host's
            return ours.stat().st_mtime - owner.stat().st_mtime > _DEAD_S
    except FileNotFoundError:  # made or removed just now; or its owner died in between
        with contextlib.suppress(FileNotFoundError):
            os.utime(ours)
            return ours.stat().st_mtime - aside.stat().st_mtime > _DEAD_S
        return False
    except OSError:  # locked, or a storage that knows no locks
        return False


def _mount(folder: Path) -> str:
    """A boot of a kernel and a file system mounted there: whoever shares both sees the other's locks."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    return f"{boot.read_text().strip() if boot.exists() else os.uname().nodename} {folder.stat().st_dev}\n"
