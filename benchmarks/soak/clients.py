"""Clients that ask all the time, and look at every answer."""

from __future__ import annotations

import bisect
import collections
import itertools
import random
import threading
import time
from collections.abc import Sequence

from benchmarks.soak.ledger import FILTERED_K, Ledger
from benchmarks.soak.merges import Answers
from benchmarks.soak.shop import Question
from serving.retriever.answers import Answer
from serving.retriever.blocking import Retriever
from serving.retriever.retries import RetrievalError

_K = (1, 10, 100, 200)
_FILTERED = 0.1  # share of requests for one leaf alone
_THINK_S = 0.1  # mean pause of a client
TIMEOUT_S = 60.0  # a busy machine is no fault; an answer that never comes is
_SAMPLES = 20
_STEP = 1.25  # between the limits of two buckets of latency


class Tally:
    """What came of the requests; its size does not depend on how many there were."""

    def __init__(self) -> None:
        self.requests = 0
        self.failures: collections.Counter[str] = collections.Counter()
        self.samples: list[str] = []
        self._buckets = [0] * 80  # from 0.1 ms on
        self._lock = threading.Lock()

    def answered(self, seconds: float) -> None:
        """A request was answered as it should be."""
        place, limit = 0, 1e-4
        while seconds > limit and place < len(self._buckets) - 1:
            place, limit = place + 1, limit * _STEP
        with self._lock:
            self.requests += 1
            self._buckets[place] += 1

    def failed(self, kind: str, what: str) -> None:
        """A request was not answered, or wrongly."""
        with self._lock:
            self.requests += 1
            self.failures[kind] += 1
            if len(self.samples) < _SAMPLES:
                self.samples.append(f"{kind}: {what}")

    def percentile_ms(self, share: float) -> float:
        """The limit of the bucket that holds it."""
        sums = list(itertools.accumulate(self._buckets))
        return round(0.1 * _STEP ** bisect.bisect_left(sums, share * sums[-1]), 1)


class Clients:
    """Threads that share a retriever over all servers; with `answers`, all of them are kept to be judged."""

    def __init__(
        self,
        retriever: Retriever,
        ledger: Ledger,
        leaves: Sequence[str],
        threads: int,
        seed: int,
        answers: Answers | None = None,
    ) -> None:
        self.tally = Tally()
        self.questions: list[Question] = []  # of the newest day; replaced whole
        self._retriever, self._ledger, self._leaves, self._answers = retriever, ledger, leaves, answers
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(random.Random(f"{seed} {number}"),), name=f"client-{number}")
            for number in range(threads)
        ]

    def start(self) -> None:
        """Begins; there must be questions."""
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Ends when each has its last answer."""
        self._stop.set()
        for thread in self._threads:
            thread.join()
        self._retriever.close()

    def _run(self, chance: random.Random) -> None:
        while not self._stop.wait(chance.expovariate(1 / _THINK_S)):
            self._ask(chance)

    def _ask(self, chance: random.Random) -> None:
        question = chance.choice(self.questions)
        leaf = chance.choice(self._leaves) if chance.random() < _FILTERED else None
        k = chance.choice(_K) if leaf is None else FILTERED_K
        begun = time.perf_counter()
        try:
            answer = self._retriever.retrieve(question.query, question.user, k, allowed_leaves=[leaf] if leaf else [])
        except RetrievalError as error:
            self.tally.failed(error.code.name, str(error))
            return
        except Exception as error:  # the client must raise nothing else; it is told, and the others go on
            self.tally.failed(type(error).__name__, str(error))
            return
        seconds = time.perf_counter() - begun
        if wrong := wrong_in(answer, None if leaf else k):
            self.tally.failed("wrong answer", f"{question.query!r}, k {k}, version {answer.versions}: {wrong}")
            return
        self.tally.answered(seconds)
        (version,) = set(answer.versions.values())
        if self._answers is not None:
            self._answers.add(question, k, leaf, version, answer.hits)
        self._ledger.answered(version, {hit.item_id for hit in answer.hits}, leaf)


def wrong_in(answer: Answer, wanted: int | None) -> str | None:
    """What no answer may be, whatever the version; without conditions there are as many as wanted."""
    ids, scores = [hit.item_id for hit in answer.hits], [hit.score for hit in answer.hits]
    if answer.partial:
        return "partial"
    if len(set(answer.versions.values())) != 1:
        return "of several versions"
    if len(set(ids)) != len(ids):
        return "an item twice"
    if any(before < after for before, after in itertools.pairwise(scores)):
        return "not best first"
    if wanted is not None and len(ids) != wanted:
        return f"{len(ids)} items"
    return None
