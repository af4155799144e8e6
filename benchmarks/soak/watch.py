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
    """A thread over the replicas; the first is never killed, so its memory is the one judged."""

    def __init__(self, replicas: Sequence[Replica], ledger: Ledger) -> None:
        self._replicas, self._ledger = replicas, ledger
        self._server, self._client = Samples(), Samples()
        self.resident_mib = self.peak_mib = 0
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

    def memories(self) -> tuple[Memory, Memory]:
        """The first server's, a sample for each version; this process', where the clients are, one each half minute."""
        return self._server.memory(), self._client.memory()

    def _run(self) -> None:
        begun, own = time.monotonic(), psutil.Process()
        while not self._stop.wait(_EVERY_S):
            self._client.add(int((time.monotonic() - begun) / _CLIENT_SLICE_S), own.memory_info().rss)
            for place, replica in enumerate(self._replicas):
                if replica.changing.acquire(blocking=False):  # one that is being killed says nothing
                    try:
                        self._look(replica, judged=place == 0)
                    finally:
                        replica.changing.release()

    def _look(self, replica: Replica, judged: bool) -> None:
        try:
            states, resident = replica.status(), replica.resident()
        except Exception as error:  # whatever it is, the others go on being watched
            self.faults.append(f"server {replica.name} did not say its versions: {error!r}")
            self._stop.wait(10)  # once is enough to fail; a server that is gone stays so
            return
        self._ledger.status(replica.name, states)
        if not judged:
            return
        self.resident_mib = resident >> 20
        self.peak_mib = max(self.peak_mib, self.resident_mib)
        held = [number for number, (state, _) in states.items() if state not in ("END", "START")]
        if len(held) == 1 and states[held[0]][0] == "AVAILABLE":  # nothing is on its way in or out
            self._server.add(held[0], resident)
