"""A Flink cluster of separate processes on the loopback interface, and what Beam needs beside it."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import yaml
from flink_settings import HOST, JAVA_FLAGS, SLOTS, TASK_MANAGER_FLAGS, TASK_MANAGER_MEMORY, cluster_settings
from processes import Processes

from tests.ports import free_ports

START_SECONDS = 120.0
WORKER_POOL = Path(__file__).with_name("worker_pool.py")

Found = TypeVar("Found")


class ClusterFailed(RuntimeError):
    """The cluster is not in the state that was asked for."""


class FlinkCluster:
    """One JobManager, two TaskManagers, Beam's job server and its Python worker pool, used as in

    with FlinkCluster(jar, work_dir=tmp_path, code=repository) as cluster:
        subprocess.run([sys.executable, "-m", "preprocessing.pipeline", ..., *cluster.beam_args()])
    """

    def __init__(self, jar: Path, work_dir: Path, code: Path) -> None:
        self._jar = jar
        self._code = code  # where Python workers find the packages of a pipeline
        self._configuration = work_dir / "conf"
        self._temporary = work_dir / "tmp"
        self._task_managers = ("taskmanager-1", "taskmanager-2")
        self._rpc_port, self._rest_port, self._pool_port = free_ports(3)
        self._job_port = 0
        self.processes = Processes(work_dir / "logs")

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Starts every process; returns when all of them are ready."""
        self._write_configuration()
        self._start_flink("jobmanager", "runtime.entrypoint.StandaloneSessionClusterEntrypoint", jvm=("-Xmx512m",))
        for name in self._task_managers:
            settings = {"taskmanager.resource-id": name, **TASK_MANAGER_MEMORY}
            self._start_flink(name, "runtime.taskexecutor.TaskManagerRunner", settings, TASK_MANAGER_FLAGS)
        self._start_job_server()
        self._start_worker_pool()
        self._wait("the TaskManagers", lambda: len(self._registered()) == len(self._task_managers))
        self._wait("the worker pool", lambda: is_open(self._pool_port))
        self._job_port = self._wait("the job server", self._job_server_port)

    def stop(self) -> None:
        """Ends every process; the logs stay."""
        self.processes.kill_all()
        shutil.rmtree(self._temporary, ignore_errors=True)  # every process keeps a copy of the jar here

    def beam_args(self) -> list[str]:
        """The ordinary Beam options that send a Python pipeline here."""
        return [
            "--runner=PortableRunner",
            f"--job_endpoint={HOST}:{self._job_port}",
            "--environment_type=EXTERNAL",
            f"--environment_config={HOST}:{self._pool_port}",
            f"--parallelism={SLOTS}",
            # Python workers outlive the gap between two stages, instead of importing everything again.
            "--environment_cache_millis=10000",
        ]

    def jobs(self) -> dict[str, str]:
        """Job id to its state."""
        return {job["id"]: job["status"] for job in self._rest("/jobs")["jobs"]}

    def vertex_states(self, job: str) -> list[str]:
        """The state of each step of a job."""
        return [vertex["status"] for vertex in self._rest(f"/jobs/{job}")["vertices"]]

    def failures(self, job: str) -> list[str]:
        """What a job was restarted after."""
        history = self._rest(f"/jobs/{job}/exceptions")["exceptionHistory"]
        return [f"{entry['exceptionName']}: {entry['stacktrace'].splitlines()[0]}" for entry in history["entries"]]

    def kill_task_manager(self) -> str:
        """kill -9 for the TaskManager with the most work; returns its name."""
        busy = {one["id"]: one["slotsNumber"] - one["freeSlots"] for one in self._registered()}
        name = max(busy, key=lambda one: busy[one])
        if not busy[name]:
            raise ClusterFailed("no TaskManager has work: to kill one would prove nothing")
        self.processes.kill(name)
        return name

    def _registered(self) -> list[dict[str, Any]]:
        return self._rest("/taskmanagers")["taskmanagers"]

    def _rest(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{HOST}:{self._rest_port}{path}", timeout=10) as response:
            return json.load(response)

    def _write_configuration(self) -> None:
        for folder in (self._configuration, self._temporary):
            folder.mkdir(parents=True, exist_ok=True)
        settings = cluster_settings(self._rpc_port, self._rest_port, self._temporary)
        (self._configuration / "config.yaml").write_text(yaml.safe_dump(settings))

    def _start_flink(
        self, name: str, entry: str, settings: dict[str, str] | None = None, jvm: tuple[str, ...] = ()
    ) -> None:
        overrides = [f"-D{key}={value}" for key, value in (settings or {}).items()]
        self._start_java(name, jvm, f"org.apache.flink.{entry}", "--configDir", str(self._configuration), *overrides)

    def _start_job_server(self) -> None:
        # It chooses its ports and logs them. (Beam's Java servers, here and in TaskManagers, know no address to bind.)
        ports = [f"--{kind}-port=0" for kind in ("job", "artifact", "expansion")]
        driver = "org.apache.beam.runners.jobsubmission.JobServerDriver"
        self._start_java(
            "jobserver",
            ("-Xmx512m", f"-Dorg.slf4j.simpleLogger.log.{driver}=info"),
            "org.apache.beam.runners.flink.FlinkJobServerDriver",
            f"--flink-master={HOST}:{self._rest_port}",
            f"--job-host={HOST}",
            *ports,
            f"--artifacts-dir={self._temporary / 'artifacts'}",
        )

    def _job_server_port(self) -> int | None:
        found = re.search(r"JobService started on \S+:(\d+)", self.processes.log("jobserver").read_text())
        return int(found.group(1)) if found else None

    def _start_worker_pool(self) -> None:
        inherited = [os.environ["PYTHONPATH"]] if "PYTHONPATH" in os.environ else []
        environment = {
            "PYTHONPATH": os.pathsep.join([str(self._code), *inherited]),
            # Beam's pool starts its workers as plain `python`.
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        }
        self.processes.start("workerpool", [sys.executable, str(WORKER_POOL), str(self._pool_port)], environment)

    def _start_java(self, name: str, jvm: tuple[str, ...], *main: str) -> None:
        flags = (*JAVA_FLAGS, f"-Djava.io.tmpdir={self._temporary}", *jvm)
        self.processes.start(name, ["java", *flags, "-cp", str(self._jar), *main])

    def _wait(self, what: str, find: Callable[[], Found | None]) -> Found:
        """Asks until something true comes back, as long as every process lives."""
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            dead = self.processes.dead()
            if dead:
                raise ClusterFailed(f"{', '.join(dead)} ended at the start\n{self.processes.tails()}")
            with contextlib.suppress(OSError):  # not listening yet
                found = find()
                if found:
                    return found
            time.sleep(0.3)
        raise ClusterFailed(f"{what} not there after {START_SECONDS:.0f} s\n{self.processes.tails()}")


def is_open(port: int) -> bool:
    """Whether somebody listens."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((HOST, port)) == 0
