"""The library for programs without an event loop: the same, with a loop of its own in a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from serving.retriever.answers import Answer
from serving.retriever.asynchronous import AsyncRetriever, BaseRetriever
from serving.retriever.request import User
from serving.retriever.sharded import AsyncShardedRetriever

T = TypeVar("T")


class Retriever:
    """Retrieves from any number of threads.

    The arguments are those of `AsyncRetriever`; with `shards`, the path of a `shards.json`, of `AsyncShardedRetriever`.

    >>> with Retriever(["localhost:8500"]) as retriever:
    ...     print(retriever.retrieve("red running shoes", user=User(realtime_items=["i42"]), k=10).hits)
    """

    def __init__(
        self, targets: str | Sequence[str] = (), model: str = "retrieval", *, shards: str | None = None, **settings: Any
    ) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="retriever", daemon=True)
        self._thread.start()
        try:
            self._retriever = self._run(_made(targets, model, shards, settings))
        except BaseException:
            self._end()
            raise

    def retrieve(self, query: str, user: User | None = None, k: int = 100, **settings: Any) -> Answer:
        """The k best items for a query of a user."""
        return self._run(self._retriever.retrieve(query, user, k, **settings))

    def similar(self, item_id: str, k: int = 100, **settings: Any) -> Answer:
        """The k items most like one."""
        return self._run(self._retriever.similar(item_id, k, **settings))

    def embed(self, query: str, user: User | None = None, **settings: Any) -> list[float]:
        """The vector of a query of a user."""
        return self._run(self._retriever.embed(query, user, **settings))

    def close(self) -> None:
        """Ends all connections and the thread."""
        self._run(self._retriever.close())
        self._end()

    def __enter__(self) -> Retriever:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def _end(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _made(
    targets: str | Sequence[str], model: str, shards: str | None, settings: dict[str, Any]
) -> BaseRetriever:
    return AsyncRetriever(targets, model, **settings) if shards is None else AsyncShardedRetriever(shards, **settings)
