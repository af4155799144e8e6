"""Builds the sdist, and of it the wheel, from a copy of the sources, which stay as they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGES = ("preprocessing", "trainer", "serving")
SOURCES = ("setup.py", "multigrain.py", "pyproject.toml", "README.md", "LICENSE")


class Built(NamedTuple):
    """The two files of a release."""

    sdist: Path
    wheel: Path


def locked(path: Path) -> dict[str, str]:
    """The versions of a lock, by package."""
    return dict(re.findall(r"^([\w.-]+)==([^\s\\]+)", path.read_text(), re.MULTILINE))


def build(folder: Path) -> Built:
    """Into `<folder>/dist`."""
    for name in (*PACKAGES, "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in SOURCES:
        shutil.copy(ROOT / name, folder / name)
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder / "dist"), str(folder)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    (sdist,), (wheel,) = (folder / "dist").glob("*.tar.gz"), (folder / "dist").glob("*.whl")
    return Built(sdist, wheel)
