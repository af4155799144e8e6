"""python -m benchmarks.soak: the whole life at once, and whether everything adds up at its end.

A simulated shop's logs arrive day by day; each day is preprocessed, refreshed into a new version, changed by fresh
items and tombstones, every fourth trained on anew. Two servers swap to each version while clients ask all the time
with the pasts of real users. Meanwhile faults are injected: malformed requests, deadlines too short, cancelled calls,
clients, servers and refreshes killed, corrupt versions.

The exit status is 0 where no request failed that should not have, memory is flat, and every version is accounted for:
made by a command and served, or turned down or broken and never served, with the items it was made of and no others.

With --shards the catalogue is spread over that many models, each with two servers, beside those of the query model, and
every answer must be the exact merge of one version.

examples:
  python -m benchmarks.soak --minutes 20
  python -m benchmarks.soak --minutes 20 --shards 2
  python -m benchmarks.soak --minutes 5 --output /tmp/soak
"""

from __future__ import annotations

import argparse
import json
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import preprocessing  # noqa: F401 (sets up the environment)
from benchmarks.soak.clients import TIMEOUT_S, Clients
from benchmarks.soak.faults import Faults
from benchmarks.soak.fleet import replicas_of, retriever_over
from benchmarks.soak.ledger import PLACED, Ledger, folder_faults
from benchmarks.soak.life import KEEP, Life
from benchmarks.soak.merges import Answers
from benchmarks.soak.replica import ROOT, Replica
from benchmarks.soak.shop import Shop
from benchmarks.soak.watch import Watch
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_WINDOW = 12  # days of log that lie in the raw folder
_DAYS_A_MINUTE = 3  # more than any machine lives through
_STARTS = 5  # the time of all servers' first start together, so often, is what a version has to be loaded in
_MARK = ".soak"  # in the output folder, so that no other is emptied
_SHOWN = 20  # failures told in full


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(prog="python -m benchmarks.soak", description=__doc__)
    flags.add_argument("--minutes", type=float, default=20, help="of life, once servers run (default %(default)s)")
    flags.add_argument("--items", type=int, default=3_000, help="of the simulated shop (default %(default)s)")
    flags.add_argument("--users", type=int, default=600, help="of the simulated shop (default %(default)s)")
    flags.add_argument("--clients", type=int, default=4, help="that ask at a time (default %(default)s)")
    flags.add_argument("--shards", type=int, default=0, help="models to spread the catalogue over (default: one model)")
    flags.add_argument("--seed", type=int, default=17, help="of the shop and of the faults (default %(default)s)")
    flags.add_argument("--output", type=Path, default=Path("out/soak"), help="emptied first (default %(default)s)")
    return flags.parse_args(argv)


def open_shop(folder: Path, given: argparse.Namespace) -> Shop:
    """A shop with its first window of logs."""
    days = _WINDOW + max(5, int(given.minutes * _DAYS_A_MINUTE))
    size = ["--items", str(given.items), "--users", str(given.users), "--days", str(days), "--seed", str(given.seed)]
    command = [sys.executable, "-m", "preprocessing.simulate", "--output", str(folder / "simulated"), *size]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    shop = Shop(folder / "simulated", folder / "raw", _WINDOW, given.seed)
    for _ in range(_WINDOW):
        shop.arrive()
    return shop


def soak(folder: Path, given: argparse.Namespace) -> dict[str, Any]:
    """Lives; returns what came of it."""
    shop, ledger = open_shop(folder, given), Ledger()
    answers = Answers(folder / "answers") if given.shards else None
    life = Life(folder, shop, ledger, given.seed, given.shards, answers)
    life.begin()
    replicas = replicas_of(life.placed, folder, given.seed)
    try:
        begun = time.monotonic()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Replica.start, replicas))
        life.patience_s = max(life.patience_s, _STARTS * (time.monotonic() - begun))
        for name in life.placed.parts:
            life.watched_by[name] = frozenset(replica.name for replica in replicas if replica.model == name)
        retriever = retriever_over(life.placed, replicas, TIMEOUT_S)
        leaves = sorted(set(shop.leaf.values()))
        clients = Clients(retriever, ledger, leaves, given.clients, given.seed, answers)
        watch, faults = Watch(replicas, ledger), Faults(replicas, given.seed)
        seconds = lived(life, clients, (watch, clients, faults), given.minutes * 60)
    finally:
        for replica in replicas:
            replica.end()
    found = report(life, clients, faults, watch, seconds)
    return found if answers is None else found | merges(answers, shop, found["passed"])


def lived(life: Life, clients: Clients, threads: tuple[Watch, Clients, Faults], seconds: float) -> float:
    """Day by day for so long; returns how long it was."""
    watch, _, _ = threads
    clients.questions = life.shop.questions()
    begun = time.monotonic()
    for thread in threads:
        thread.start()
    try:
        while time.monotonic() - begun < seconds and life.shop.day < life.shop.days - 2:
            life.day()
            clients.questions = life.shop.questions()
            told(life, clients, watch, begun)
        life.settle()
    finally:
        for thread in reversed(threads):
            thread.stop()
    return time.monotonic() - begun


def told(life: Life, clients: Clients, watch: Watch, begun: float) -> None:
    """A line behind each day."""
    failures = clients.tally.failures.total() + len(life.faults) + len(watch.faults)
    sys.stderr.write(
        f"{(time.monotonic() - begun) / 60:.1f} min, {life.days} days, version {life.placed.latest()}, "
        f"{clients.tally.requests} requests, {failures} failures, servers {watch.peak_mib} MiB\n"
    )


def merges(answers: Answers, shop: Shop, passed: dict[str, bool | None]) -> dict[str, Any]:
    """What the kept answers say."""
    judged, wrong = answers.faults(shop.leaf)
    return {
        "merges": {"judged": judged, "wrong": len(wrong), "samples": wrong[:_SHOWN]},
        "passed": passed | {"merges": bool(judged) and not wrong},
    }


def report(life: Life, clients: Clients, faults: Faults, watch: Watch, seconds: float) -> dict[str, Any]:
    """The last line, and under `passed` the three judgments; memory's is null where there was too little of it."""
    tally, ledger, present = clients.tally, life.ledger, life.placed.versions()
    counts = ledger.counts()
    amiss = [*life.faults, *watch.faults, *ledger.faults(life.shop.leaf)]
    amiss += folder_faults(life.placed, ledger.entries, KEEP)
    servers, client = watch.memories()
    unexpected = tally.failures.total() + len(faults.unexpected)
    flat = [one.flat for one in (*servers.values(), client)]
    return {
        "minutes": round(seconds / 60, 1),
        "days": life.days,
        "commands": dict(life.commands),
        "versions": counts | {"pruned": sum(counts[one] for one in PLACED) - len(present), "in_place": present},
        "versions_amiss": amiss[:_SHOWN],
        "requests": tally.requests,
        "requests_failed": dict(tally.failures),
        "p50_ms": tally.percentile_ms(0.5),
        "p99_ms": tally.percentile_ms(0.99),
        "injected": dict(faults.injected + life.injected),
        "injected_with_another_outcome": len(faults.unexpected),
        "failures": [*tally.samples, *faults.unexpected][:_SHOWN],
        "memory": {
            "servers": {name: one._asdict() | {"peak_mib": watch.peak_mib[name]} for name, one in servers.items()},
            "client": client._asdict(),
        },
        "passed": {
            "requests": not unexpected,
            "memory": None if None in flat else all(flat),
            "versions": not amiss,
        },
    }


def main(argv: list[str] | None = None) -> int:
    """The command."""
    given = arguments(argv)
    for name, least in {"minutes": 1, "items": 1_000, "users": 100, "clients": 1, "shards": 0}.items():
        if getattr(given, name) < least:
            raise UserError(f"--{name} {getattr(given, name)}: at least {least} is needed")
    if given.output.exists() and not (given.output / _MARK).exists():
        raise UserError(f"--output {given.output} was not made by this command; name another folder")
    shutil.rmtree(given.output, ignore_errors=True)
    given.output.mkdir(parents=True)
    (given.output / _MARK).touch()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # the servers are ended on the way out
    found = soak(given.output.absolute(), given)
    print(json.dumps(found))
    return int(False in found["passed"].values())


if __name__ == "__main__":
    run_command(main)
