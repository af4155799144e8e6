"""Looks at the servers twice a second: their versions for the books, their memory while each version is served."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import psutil

from benchmarks.soak.ledger import Ledger
from benchmarks.soak.memory import Memory, Samples
from benchmarks.soak.replica import Replica

_EVERY_S = 0.5
_CLIENT_SLICE_S = 30


class Watch:
    """A thread over the replicas; the memory of those that are never killed is judged."""

    def __init__(self, replicas: Sequence[Replica], ledger: Ledger) -> None:
        self._replicas, self._ledger = replicas, ledger
        self._servers = {replica.name: Samples() for replica in replicas if not replica.killable}
        self._client = Samples()
        self.peak_mib = dict.fromkeys(self._servers, 0)
        self.faults: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self._stop.set()
        self._thread.join()

    def memories(self) -> tuple[dict[str, Memory], Memory]:
        """The servers', a sample for each version; this process', where the clients are, one each half minute."""
        return {name: samples.memory() for name, samples in self._servers.items()}, self._client.memory()

    def _run(self) -> None:
        begun, own = time.monotonic(), psutil.Process()
        while not self._stop.wait(_EVERY_S):
            self._client.add(int((time.monotonic() - begun) / _CLIENT_SLICE_S), own.memory_info().rss)
            for replica in self._replicas:
                if replica.changing.acquire(blocking=False):  # one that is being killed says nothing
                    try:
                        self._look(replica)
                    finally:
                        replica.changing.release()

    def _look(self, replica: Replica) -> None:
        try:
            states, resident = replica.status(), replica.resident()
        except Exception as error:  # whatever it is, the others go on being watched
            self.faults.append(f"server {replica.name} did not say its versions: {error!r}")
            self._stop.wait(10)  # once is enough to fail; a server that is gone stays so
            return
        self._ledger.status(replica.name, states)
        if replica.killable:
            return
        self.peak_mib[replica.name] = max(self.peak_mib[replica.name], resident >> 20)
        held = [number for number, (state, _) in states.items() if state not in ("END", "START")]
        ready = all(states[number][0] == "AVAILABLE" for number in held)
        if ready and len(held) == replica.held:  # nothing is on its way in or out
            self._servers[replica.name].add(max(held), resident)
