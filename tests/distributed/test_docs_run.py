"""The commands of README.md and docs/ are run as they stand, in their order, in an empty folder."""

from __future__ import annotations

import importlib
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import preprocessing  # noqa: F401 (sets up TensorFlow's environment)
from preprocessing.command.console import run_command
from tests.e2e.commands import commands
from tests.e2e.market import ROOT
from tests.e2e.pages import PAGES, blocks, name_of, shell_commands
from tests.e2e.typed_pages import CHAINS, NOT_RUN
from tests.ports import free_ports

COMMANDS = commands()
# What is put behind a command here, so that it takes seconds.
_FEW_STEPS = "--set trainer.training.steps=24 --set trainer.training.steps_per_call=4 --set trainer.data.batch=64"
_FEW_REQUESTS = "--set serving.tuning.queries=64 --set serving.gate.requests=64 --max-regression 0.5"
SMALLER = {
    "preprocessing.simulate": "--items 300 --users 120 --days 12",
    "trainer.task": f"{_FEW_STEPS} --set trainer.validation.requests=32",
    "serving.export": _FEW_REQUESTS,
    "serving.refresh": f"{_FEW_REQUESTS} {_FEW_STEPS}",
    "serving.client": "--timeout 60",
}
FEWER = {"--seeds 3": "--seeds 2"}
# Where the pages' absolute folders are here.
PLACES = {
    "/logs/2024-06-02": "out/raw",
    "/days/2024-06-01": "out/days/raw",
    "/days": "out/days",
    "/models/retrieval": "out/models/retrieval",
}
# What a page takes for given that is the reader's own.
FILES = {
    "new.jsonl": '{"item_id": "new", "title": "red running shoes", "brand": "", "shop": "", "category_leaf": "shoes", '
    '"category_top": "sports"}\n',
    "gone.txt": "P0000003\n",
    "out/users.jsonl": '{"user_id": "U7", "history_queries": ["trainers"]}\n',
    "queries.jsonl": '{"request_id": "a", "query": "red running shoes"}\n{"query": "lamp", "k": 3}\n',
    "p.jsonl": "".join(f'{{"item_id": "p{n}", "title": "oak table {n}", "brand": "b{n % 3}"}}\n' for n in range(12)),
    "j.jsonl": "".join(
        f'{{"query": "table {n}", "item_id": "p{item}", "label": {3 - item % 4}}}\n'
        for n in range(10)
        for item in range(n, n + 2)
    ),
}


class Reader:
    """Types what the pages say; leaves out what was typed before, as one does on a later page."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._typed: set[str] = set()
        self._server: subprocess.Popen[bytes] | None = None
        self._ports = free_ports(2)
        (folder / "bin").mkdir()
        for name in ("configs", "examples"):
            (folder / name).symlink_to(ROOT / name)
        (folder / "bin" / "python").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
        (folder / "bin" / "python").chmod(0o755)
        (folder / "bin" / "pip").write_text('#!/bin/sh\nexec python -m pip "$@"\n')
        (folder / "bin" / "pip").chmod(0o755)
        (folder / "out").mkdir()
        for name, text in FILES.items():
            (folder / name).write_text(text)

    def type(self, command: str) -> None:
        """Runs it, here what is Python's; it has to end well."""
        command = " ".join(command.split(" #")[0].split()) if "\n" not in command else command
        placed = self._placed(command)
        if placed in self._typed or command.startswith(tuple(NOT_RUN)):
            return
        self._typed.add(placed)
        if placed.startswith("python -m serving.server"):
            self._serve(placed)
        elif placed.startswith("python -m ") and placed.split()[2] in COMMANDS:
            _, _, module, *flags = shlex.split(placed)
            main = importlib.import_module(COMMANDS[module]).main
            with pytest.raises(SystemExit) as end:
                run_command(lambda _: main([*flags, *SMALLER.get(module, "").split()]))
            assert end.value.code == 0, command
        else:
            subprocess.run(["bash", "-e", "-o", "pipefail", "-c", placed], env=self._environment(), check=True)

    def run(self, program: str) -> None:
        """A program of a page, with the server in the place of all servers."""
        for machine in ("a:8500", "b:8500", "c:8500", "d:8500"):
            program = program.replace(machine, f"localhost:{self._ports[0]}")
        exec(compile(program.replace("timeout=0.2", "timeout=60"), "a page", "exec"), {"__name__": "page"})

    def close(self) -> None:
        """Ends the server as its reader would."""
        if self._server is not None:
            self._server.terminate()
            assert self._server.wait(120) == 0
            self._server = None

    def _placed(self, command: str) -> str:
        for theirs, ours in (PLACES | FEWER).items():
            command = re.sub(rf"(?<!\w){theirs}", ours, command)
        if "serving.server" in command:
            ports = {"--port": "8500", "--rest-api-port": "8501"}
            command += "".join(f" {flag} {port}" for flag, port in ports.items() if flag not in command)
        if "serving.client" in command and "--target" not in command:
            command += " --target localhost:8500"
        return command.replace("8500", str(self._ports[0])).replace("8501", str(self._ports[1]))

    def _serve(self, command: str) -> None:
        from serving.client import RetrievalError, Retriever

        self.close()
        command = f"exec {command}"
        self._server = subprocess.Popen(["bash", "-c", command], env=self._environment())
        deadline = time.monotonic() + 600
        with Retriever(f"localhost:{self._ports[0]}", timeout=10) as retriever:
            while True:
                try:
                    retriever.retrieve("", k=1)
                    return
                except RetrievalError:
                    assert self._server.poll() is None and time.monotonic() < deadline
                    time.sleep(0.2)

    def _environment(self) -> dict[str, str]:
        path = f"{self._folder / 'bin'}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    monkeypatch.chdir(tmp_path)
    one = Reader(tmp_path)
    yield one
    one.close()


@pytest.mark.skipif(shutil.which("bash") is None or shutil.which("curl") is None, reason="needs bash and curl")
@pytest.mark.timeout(2400)
@pytest.mark.parametrize("chain", CHAINS)
def test_the_pages_can_be_typed_from_top_to_bottom(chain: str, reader: Reader) -> None:
    pages = {name_of(page): page for page in PAGES}
    for name in CHAINS[chain]:
        for block in blocks(pages[name]):
            if block.language == "bash":
                for command in shell_commands(block.text):
                    reader.type(command)
            elif block.language == "python":
                reader.run(block.text)
