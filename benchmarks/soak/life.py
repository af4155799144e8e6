"""The shop's days: logs arrive, versions are built, changed and broken; all by the product's own commands."""

from __future__ import annotations

import collections
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import orjson

from benchmarks.soak.fleet import shard_target
from benchmarks.soak.ledger import Entry, Ledger
from benchmarks.soak.merges import Answers
from benchmarks.soak.placed import Placed
from benchmarks.soak.replica import ROOT
from benchmarks.soak.shop import Shop

KEEP = 3
_RETRAIN_DAYS, _KILL_DAYS, _CORRUPT_DAYS = 4, 3, 2  # each so many days
_LOADED_S = 300.0  # a load under way comes first, and takes a minute on a busy machine
_REJECTED = 3
# Small in its graph: what a server spends on a load follows the number of nodes, and a soak is of many loads.
_TRAINING = [
    "trainer.training.epochs=12",
    "trainer.mgdspr.grains.sequence=false",
    "trainer.mgdspr.horizons.realtime.lstm_layers=0",
    "trainer.mgdspr.horizons.short.self_attention=false",
    "trainer.mgdspr.horizons.long.attributes=[item]",
]
_SERVING = [
    f"serving.keep_versions={KEEP}",
    "serving.gate.max_regression=0.1",  # a few hundred requests judge: their recall moves by chance
    "serving.gate.requests=300",
    "serving.tuning.queries=300",
]


class Life:
    """Lives day by day. What a command should not have done is in `faults`."""

    def __init__(
        self, folder: Path, shop: Shop, ledger: Ledger, seed: int, shards: int = 0, answers: Answers | None = None
    ) -> None:
        self._folder, self.shop, self.ledger, self._answers = folder, shop, ledger, answers
        self._chance = random.Random(seed)
        self.placed = Placed(folder / "models" / "retrieval", shards)
        target = f"serving.shard_target={shard_target(folder)}"
        # Exact, so that each merge can be judged.
        self._serving = [*_SERVING, target, "serving.index=brute_force"] if shards else _SERVING
        self.faults: list[str] = []
        self.commands: collections.Counter[str] = collections.Counter()
        self.injected: collections.Counter[str] = collections.Counter()
        self.watched_by: dict[str, frozenset[str]] = {}  # the servers of each model, once there are some
        self.patience_s = _LOADED_S
        self._first = self.shop.day
        self._job = folder / "job-none"

    def begin(self) -> None:
        """The first window's job and version."""
        self._records()
        self._train()
        self._refresh(self._job, "first")

    @property
    def days(self) -> int:
        """That it has lived."""
        return self.shop.day - self._first

    def day(self) -> None:
        """One more."""
        self.shop.arrive()
        day = self.days
        self._records()
        before, origin = self._job, "refresh"
        if day % _RETRAIN_DAYS == 0:
            self._train()
            origin = "retrain"
        if day % _KILL_DAYS == 0:
            self._kill_refresh()
        if self._refresh(self._job, origin) == "rejected":
            self._job = before
            self._refresh(self._job, "refresh")
        if day % _CORRUPT_DAYS == 0:
            self._corrupt()
        self._change()
        for old in self._folder.glob("data-*"):
            if old != self._data:
                shutil.rmtree(old)

    @property
    def _data(self) -> Path:
        return self._folder / f"data-{self.shop.day}"

    def _records(self) -> None:
        places = ("--input", str(self._folder / "raw"), "--output", str(self._data))
        config = ("--config", "configs/demo.yaml", "--set", "preprocessing.split.eval_days=1")
        self._run("preprocessing.pipeline", *config, *places)

    def _train(self) -> None:
        self._job = self._folder / f"job-{self.shop.day}"
        places = ("--data", str(self._data), "--job-dir", str(self._job))
        self._run("trainer.task", "--config", "configs/mgdspr.yaml", *places, *_set(_TRAINING))

    def _refresh(self, job: Path, origin: str) -> str | None:
        """Today's version of a job's towers; its fate, none where a killed refresh had placed it already."""
        self._run(*self._refreshing(job), accepted={0, _REJECTED} if origin == "retrain" else {0})
        return self._enter_new(origin, self.shop.live)

    def _refreshing(self, job: Path) -> list[str]:
        places = ["--job-dir", str(job), "--data", str(self._data), "--output", str(self.placed.root.path)]
        shards = ["--shards", str(self.placed.shards)] if self.placed.shards else []
        return ["serving.refresh", *places, *shards, *_set(self._serving)]

    def _change(self) -> None:
        """Tomorrow's items, and without those that go tonight: beside the index in place."""
        coming, leaving = self.shop.coming(), self.shop.leaving()
        fresh, gone = self._folder / "fresh.jsonl", self._folder / "gone.txt"
        fresh.write_bytes(b"".join(orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in coming))
        gone.write_text("".join(f"{one}\n" for one in sorted(leaving)))
        places = ("--data", str(self._data), "--output", str(self.placed.root.path))
        self._run("serving.export", *places, "--fresh", str(fresh), "--tombstones", str(gone), *_set(self._serving))
        self._enter_new("change", (self.shop.live | {one["item_id"] for one in coming}) - leaving)

    def _kill_refresh(self) -> None:
        """Somewhere on its way; what it had placed by then is a version like any other, and there is nothing half."""
        process = subprocess.Popen(
            [sys.executable, "-m", *self._refreshing(self._job)],
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        while process.poll() is None and not list(self.placed.root.path.glob(".staging-*")):
            time.sleep(0.05)
        time.sleep(self._chance.random() * 5)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            self.injected["refresh killed"] += 1
        process.wait()
        self._enter_new("killed refresh", self.shop.live)

    def _corrupt(self) -> None:
        """A damaged copy of the version in place, by a careless hand; every server of the model has to say so."""
        name, number = self._chance.choice(sorted(self.placed.parts)), self.placed.next_version()
        folder = self.placed.parts[name]
        aside = folder.path / f".by-hand-{number}"
        shutil.copytree(folder.model(folder.versions()[-1]), aside)
        _damage(aside, self._chance)
        self.ledger.enter(Entry(number, "by hand", self.shop.day, "corrupt", models=frozenset({name})))
        os.rename(aside, folder.model(number))
        self.injected["corrupt version"] += 1
        servers = self.watched_by.get(name, frozenset())
        self._await(f"corrupt version {number} was reported", lambda: self.ledger.refused_by(number), servers)

    def settle(self) -> None:
        """Until every server has the last version."""
        self._await_everywhere(self.placed.latest() or 0)

    def _await_everywhere(self, number: int) -> None:
        servers = frozenset().union(*self.watched_by.values())
        self._await(f"version {number} was served", lambda: self.ledger.available_at(number), servers)

    def _await(self, what: str, said: Callable[[], set[str]], servers: frozenset[str]) -> None:
        deadline = time.monotonic() + self.patience_s
        while not servers <= said():
            if time.monotonic() > deadline:
                self.faults.append(f"{what} by {sorted(said())} of {sorted(servers)} in {self.patience_s:.0f} s")
                return
            time.sleep(0.2)

    def _enter_new(self, origin: str, items: frozenset[str]) -> str | None:
        """Puts the version that has come into the books; returns its fate."""
        fate = None
        for number in self.placed.versions():
            if number not in self.ledger.entries:
                fate = "published" if number == self.placed.latest() else "unnamed"
                of_shards = self.placed.holders(number)
                self.ledger.enter(Entry(number, origin, self.shop.day, fate, items, of_shards))
                if fate == "published":
                    self._published(number, origin, items)
        for number in self.placed.rejected():
            if number not in self.ledger.entries:
                fate = "rejected"
                self.ledger.enter(Entry(number, origin, self.shop.day, fate))
        return fate

    def _published(self, number: int, origin: str, items: frozenset[str]) -> None:
        if origin != "change" and (counted := self.placed.items(number)) != len(items):
            self.faults.append(f"version {number} has {counted} items, the catalogue {len(items)}")
        if self._answers is not None:
            self._answers.keep(self.placed, number)
            # Shards have to be in use together, so the next version does not come before all servers have this one.
            self._await_everywhere(number)

    def _run(self, module: str, *arguments: str, accepted: frozenset[int] | set[int] = frozenset({0})) -> None:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        self.commands[module] += 1
        with (self._folder / "commands.log").open("a") as log:
            log.write(f"day {self.shop.day} {module} {' '.join(arguments)}: {done.returncode}\n{done.stderr}\n")
        if done.returncode not in accepted:
            last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
            self.faults.append(f"day {self.shop.day}: python -m {module} ended with {done.returncode}: {last}")


def _set(overrides: list[str]) -> list[str]:
    return [word for override in overrides for word in ("--set", override)]


def _damage(version: Path, chance: random.Random) -> None:
    """As a full disk, a broken copy or a wrong folder does."""
    kind = chance.randrange(3)
    if kind == 0:
        (data,) = version.glob("variables/variables.data-*")
        os.truncate(data, data.stat().st_size // 2)
    elif kind == 1:
        shutil.rmtree(version / "variables")
    else:
        graph = version / "saved_model.pb"
        graph.write_bytes(chance.randbytes(graph.stat().st_size))
