"""The library: a query and its user, or an item, to the best items, from one shard or from all of them."""

from __future__ import annotations

import abc
import asyncio
import time
from collections.abc import Sequence
from typing import Self

import grpc

from serving.retriever import messages
from serving.retriever.answers import Answer
from serving.retriever.ask_neighbours import ask_neighbours
from serving.retriever.ask_shards import ask, ask_all, embed_by_any
from serving.retriever.request import OPEN, PriceRange, Question, User
from serving.retriever.retries import CallPolicy, Model, Shard


class BaseRetriever(abc.ABC):
    """What every retriever in an event loop is asked; how its servers are is for each kind to say."""

    def __init__(self, timeout: float) -> None:
        self._timeout = timeout

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def retrieve(
        self,
        query: str,
        user: User | None = None,
        k: int = 100,
        *,
        required_terms: Sequence[str] = (),
        allowed_leaves: Sequence[str] = (),
        allowed_brands: Sequence[str] = (),
        excluded_items: Sequence[str] = (),
        price_range: PriceRange = OPEN,
        timeout: float | None = None,
    ) -> Answer:
        """The k best items for a query of a user; `RetrievalError` where no shard answers in time."""
        conditions = (required_terms, allowed_leaves, allowed_brands, excluded_items, price_range)
        question = Question(query, user or User(), k, *conditions)
        return await self._answer(question, self._end(timeout))

    async def similar(
        self,
        item_id: str,
        k: int = 100,
        *,
        required_terms: Sequence[str] = (),
        allowed_leaves: Sequence[str] = (),
        allowed_brands: Sequence[str] = (),
        excluded_items: Sequence[str] = (),
        price_range: PriceRange = OPEN,
        timeout: float | None = None,
    ) -> Answer:
        """The k items most like one, by their vectors, without itself; not `known` where nobody has it."""
        conditions = (required_terms, allowed_leaves, allowed_brands, excluded_items, price_range)
        question = Question("", User(), k, *conditions, item_id)
        return await self._neighbours(question, self._end(timeout))

    async def embed(self, query: str, user: User | None = None, *, timeout: float | None = None) -> list[float]:
        """The vector of a query of a user."""
        return list((await self._embedded(Question(query, user or User(), 0), self._end(timeout))).floats)

    @abc.abstractmethod
    async def close(self) -> None:
        """Ends all connections."""

    @abc.abstractmethod
    async def _answer(self, question: Question, end: float) -> Answer:
        """What is found until a moment of the monotonic clock."""

    @abc.abstractmethod
    async def _neighbours(self, question: Question, end: float) -> Answer:
        """The same for an item."""

    @abc.abstractmethod
    async def _embedded(self, question: Question, end: float) -> messages.Tensor:
        """The vector `[1, dim]`."""

    def _end(self, timeout: float | None) -> float:
        return time.monotonic() + (self._timeout if timeout is None else timeout)


class AsyncRetriever(BaseRetriever):
    """Retrieves within an event loop.

    Args:
        targets: one string a shard, each `host:port` or the `host:port,host:port` of servers of the same items.
        model: the model's name on the servers.
        version, label: a model version, or what one is called; the newest without them.
        timeout: seconds for everything, where a call gives no other.
        policy: retries, hedging and circuit breakers.
        credentials: of TLS; plain text without.

    >>> async with AsyncRetriever(["localhost:8500"]) as retriever:
    ...     answer = await retriever.retrieve("red running shoes", k=10)
    """

    def __init__(
        self,
        targets: str | Sequence[str],
        model: str = "retrieval",
        *,
        version: int | None = None,
        label: str | None = None,
        timeout: float = 1.0,
        policy: CallPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        groups = [targets] if isinstance(targets, str) else list(targets)
        split = [[one.strip() for one in group.split(",") if one.strip()] for group in groups]
        if not split or not all(split):
            raise ValueError("a shard needs at least one target, host:port")
        super().__init__(timeout)
        self.shards = [Shard(group, Model(model, version, label), credentials, policy) for group in split]

    async def close(self) -> None:
        """As `BaseRetriever.close`."""
        await asyncio.gather(*(shard.close() for shard in self.shards))

    async def _answer(self, question: Question, end: float) -> Answer:
        if len(self.shards) == 1:
            hits, version = await ask(self.shards[0], "retrieve", question, end)
            return Answer(hits[: question.k], {}, {self.shards[0].name: version})
        if question.conditions:
            return await ask_all(self.shards, "retrieve", question, None, end)
        return await ask_all(self.shards, "search", question, await self._embedded(question, end), end)

    async def _neighbours(self, question: Question, end: float) -> Answer:
        if question.conditions and len(self.shards) > 1:
            raise ValueError("several targets take no conditions for an item's neighbours; export them with --shards")
        return await ask_neighbours(self.shards, self.shards, "search", question, end)

    async def _embedded(self, question: Question, end: float) -> messages.Tensor:
        return await embed_by_any(self.shards, question, end)
