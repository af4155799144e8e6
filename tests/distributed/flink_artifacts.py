"""Makes the jar that runs a Flink cluster and Beam's Flink job server, through Maven, once.

The shaded job server of the installed Beam version is asked for first. A registry that lacks it may still have the
runner as a plain artifact, whose dependencies hold the same classes, those of Flink itself included.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import apache_beam

FLINK_VERSION = "1.19"
FALLBACK_RUNNER_VERSION = "2.62.0"  # the newest runner for this Flink that is published whole as plain artifacts
POM = Path(__file__).with_name("pom.xml")
CACHE = Path.home() / ".cache" / "multigrain" / "flink"


class JarUnavailable(RuntimeError):
    """Maven resolved none of the known runners."""


@dataclass(frozen=True)
class Runner:
    """A published Flink runner of Beam."""

    artifact: str
    version: str

    @property
    def jar(self) -> Path:
        recipe = hashlib.sha256(POM.read_bytes()).hexdigest()[:8]
        return CACHE / f"{self.artifact}-{self.version}-{recipe}.jar"

    def __str__(self) -> str:
        return f"{self.artifact} {self.version} under Beam {apache_beam.__version__}'s Python SDK"


def missing_tool() -> str | None:
    """Says in one line what this machine lacks for a cluster; None when it lacks nothing."""
    missing = [tool for tool in ("java", "mvn") if shutil.which(tool) is None]
    return f"needs Java 17 and Maven: no {' and no '.join(missing)} here" if missing else None


def resolve() -> Runner:
    """The best runner that can be had, with its jar in the cache."""
    candidates = known_runners()
    for runner in candidates:
        if runner.jar.exists():
            return runner
    refusals = []
    for runner in candidates:
        refusal = _make_jar(runner)
        if refusal is None:
            return runner
        refusals.append(f"{runner}:\n{refusal}")
    raise JarUnavailable("Maven resolved no Flink runner\n" + "\n".join(refusals))


def known_runners() -> list[Runner]:
    """Best first."""
    plain = f"beam-runners-flink-{FLINK_VERSION}"
    return [
        Runner(f"{plain}-job-server", apache_beam.__version__),
        Runner(plain, apache_beam.__version__),
        Runner(plain, FALLBACK_RUNNER_VERSION),
    ]


def _make_jar(runner: Runner) -> str | None:
    """Puts the runner's jar into the cache, or returns Maven's refusal."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        command = [
            "mvn",
            "--batch-mode",
            "--quiet",
            f"--file={POM}",
            f"-Drunner.artifact={runner.artifact}",
            f"-Drunner.version={runner.version}",
            f"-Dfolder={folder}",
            "jar:jar",
            "shade:shade",
        ]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return (done.stdout + done.stderr)[:500]
        Path(folder, "flink.jar").rename(runner.jar)
        return None
