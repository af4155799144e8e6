"""New Python environments beside ours, for what does not fit it."""

from __future__ import annotations

import os
import subprocess
import venv
from pathlib import Path


def run(*command: object, cwd: Path, **variables: object) -> subprocess.CompletedProcess[str]:
    """A command that must end well, away from the sources."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    environment |= {name: str(value) for name, value in variables.items()}
    done = subprocess.run([*map(str, command)], cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done


def fresh(folder: Path) -> Path:
    """The Python of a new environment."""
    venv.create(folder, with_pip=True)
    return folder / "bin" / "python"


def pip(python: Path, *arguments: object) -> str:
    """What pip says."""
    return run(python, "-m", "pip", "--disable-pip-version-check", *arguments, cwd=python.parent).stdout
