"""python -m benchmarks.soak: the whole life at once, and whether everything adds up at its end.

A simulated shop's logs arrive day by day; each day is preprocessed, refreshed into a new version, changed by fresh
items and tombstones, every fourth trained on anew. Two servers swap to each version while clients ask all the time
with the pasts of real users. Meanwhile faults are injected: malformed requests, deadlines too short, cancelled calls,
clients, servers and refreshes killed, corrupt versions.

The exit status is 0 where no request failed that should not have, memory is flat, and every version is accounted for:
made by a command and served, or turned down or broken and never served, with the items it was made of and no others.

examples:
  python -m benchmarks.soak --minutes 20
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
from pathlib import Path
from typing import Any

import preprocessing  # noqa: F401 (sets up the environment)
from benchmarks.soak.clients import Clients
from benchmarks.soak.faults import Faults
from benchmarks.soak.ledger import Ledger, folder_faults
from benchmarks.soak.life import KEEP, Life
from benchmarks.soak.replica import ROOT, Replica
from benchmarks.soak.shop import Shop
from benchmarks.soak.watch import Watch
from preprocessing.command.console import UserError, run_command
from preprocessing.command.flags import Flags

_WINDOW = 12  # days of log that lie in the raw folder
_DAYS_A_MINUTE = 3  # more than any machine lives through
_MARK = ".soak"  # in the output folder, so that no other is emptied
_SHOWN = 20  # failures told in full


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command's flags."""
    flags = Flags(prog="python -m benchmarks.soak", description=__doc__)
    flags.add_argument("--minutes", type=float, default=20, help="of life, once servers run (default %(default)s)")
    flags.add_argument("--items", type=int, default=3_000, help="of the simulated shop (default %(default)s)")
    flags.add_argument("--users", type=int, default=600, help="of the simulated shop (default %(default)s)")
    flags.add_argument("--clients", type=int, default=4, help="that ask at a time (default %(default)s)")
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
    life = Life(folder, shop, ledger, given.seed)
    life.begin()
    replicas = [Replica(name, life.models.path, folder / f"server-{name}.log") for name in ("a", "b")]
    try:
        for replica in replicas:
            replica.start()
        life.watched_by = frozenset(replica.name for replica in replicas)
        targets = [replica.target for replica in replicas]
        clients = Clients(targets, ledger, sorted(set(shop.leaf.values())), given.clients, given.seed)
        watch, faults = Watch(replicas, ledger), Faults(replicas, given.seed)
        clients.questions = shop.questions()
        begun = time.monotonic()
        for thread in (watch, clients, faults):
            thread.start()
        try:
            while time.monotonic() - begun < given.minutes * 60 and shop.day < shop.days - 2:
                life.day()
                clients.questions = shop.questions()
                told(life, clients, watch, begun)
            life.settle()
        finally:
            faults.stop()
            clients.stop()
            watch.stop()
    finally:
        for replica in replicas:
            replica.end()
    return report(life, clients, faults, watch, time.monotonic() - begun)


def told(life: Life, clients: Clients, watch: Watch, begun: float) -> None:
    """A line behind each day."""
    failures = clients.tally.failures.total() + len(life.faults) + len(watch.faults)
    sys.stderr.write(
        f"{(time.monotonic() - begun) / 60:.1f} min, {life.days} days, version {life.models.latest()}, "
        f"{clients.tally.requests} requests, {failures} failures, server {watch.resident_mib} MiB\n"
    )


def report(life: Life, clients: Clients, faults: Faults, watch: Watch, seconds: float) -> dict[str, Any]:
    """The last line, and under `passed` the three judgments; memory's is null where there was too little of it."""
    tally, ledger, present = clients.tally, life.ledger, life.models.versions()
    counts = ledger.counts()
    amiss = [*life.faults, *watch.faults, *ledger.faults(life.shop.leaf)]
    amiss += folder_faults(life.models, ledger.entries, KEEP)
    server, client = watch.memories()
    unexpected = tally.failures.total() + len(faults.unexpected)
    flat = [one.flat for one in (server, client)]
    return {
        "minutes": round(seconds / 60, 1),
        "days": life.days,
        "commands": dict(life.commands),
        "versions": counts | {"pruned": counts["published"] + counts["corrupt"] - len(present), "in_place": present},
        "versions_amiss": amiss[:_SHOWN],
        "requests": tally.requests,
        "requests_failed": dict(tally.failures),
        "p50_ms": tally.percentile_ms(0.5),
        "p99_ms": tally.percentile_ms(0.99),
        "injected": dict(faults.injected + life.injected),
        "injected_with_another_outcome": len(faults.unexpected),
        "failures": [*tally.samples, *faults.unexpected][:_SHOWN],
        "memory": {
            "server": server._asdict() | {"peak_mib": watch.peak_mib},
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
    for name, least in {"minutes": 1, "items": 1_000, "users": 100, "clients": 1}.items():
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
