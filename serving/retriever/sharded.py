"""The library for a catalogue in shards: who serves what stands in a `shards.json`, which is followed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import grpc

from serving.retriever import messages
from serving.retriever.answers import Answer
from serving.retriever.ask_neighbours import ask_neighbours
from serving.retriever.ask_shards import ask_all, ask_all_channels, embed_by_any
from serving.retriever.asynchronous import BaseRetriever
from serving.retriever.fuse_lists import Rule
from serving.retriever.request import Question
from serving.retriever.retries import CallPolicy, Model, Shard

_PROBE_S = 2.0  # a server has to say whether it has a version


class Place(NamedTuple):
    """A model and the servers that have it, with commas between them."""

    name: str
    target: str


class ShardMap(NamedTuple):
    """What a `shards.json` says."""

    version: int
    query: Place
    shards: tuple[Place, ...]
    fusion: Rule | None  # where both channels are asked


def read_shard_map(path: str) -> ShardMap:
    """Reads the file; `ValueError` says what is wrong with it."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        query, *shards = (Place(one["name"], one["target"]) for one in (content["query"], *content["shards"]))
        version = int(content["version"])
        fusion = Rule.read(content["fusion"]) if content.get("fusion") else None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} is no shards.json of python -m serving.export --shards") from None
    if not shards or not all(place.target.strip(", ") for place in (query, *shards)):
        raise ValueError(f"{path} names no shards, or one without a target")
    return ShardMap(version, query, tuple(shards), fusion)


class _Generation:
    """The models of one version, and how many calls are under way on them."""

    def __init__(
        self, listed: ShardMap, credentials: grpc.ChannelCredentials | None, policy: CallPolicy | None
    ) -> None:
        def opened(place: Place) -> Shard:
            targets = [one.strip() for one in place.target.split(",") if one.strip()]
            return Shard(targets, Model(place.name, listed.version), credentials, policy, name=place.name)

        self.listed = listed
        self.query, self.shards = opened(listed.query), [opened(place) for place in listed.shards]
        self.calls = 0

    async def is_served(self) -> bool:
        """Whether every model has the version."""
        return all(await asyncio.gather(*(one.has_version(_PROBE_S) for one in (self.query, *self.shards))))

    async def close(self) -> None:
        """Ends all connections."""
        await asyncio.gather(self.query.close(), *(shard.close() for shard in self.shards))


class AsyncShardedRetriever(BaseRetriever):
    """Retrieves within an event loop from the models that a file names.

    Every call is of one version throughout: a vector never meets the items of another. Where the file names a new
    one, calls go over to it once every model serves it.

    Args:
        path: the `shards.json`.
        timeout: seconds for everything, where a call gives no other.
        poll_s: seconds between two looks at the file.
        policy: retries, hedging and circuit breakers.
        credentials: of TLS; plain text without.
    """

    def __init__(
        self,
        path: str,
        *,
        timeout: float = 1.0,
        poll_s: float = 1.0,
        policy: CallPolicy | None = None,
        credentials: grpc.ChannelCredentials | None = None,
    ) -> None:
        super().__init__(timeout)
        self._path, self._poll_s = path, poll_s
        self._settings: dict[str, Any] = {"credentials": credentials, "policy": policy}
        self._now = _Generation(read_shard_map(path), **self._settings)
        self._follower: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """As `BaseRetriever.close`."""
        if self._follower is not None:
            self._follower.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._follower
        await self._now.close()

    async def _answer(self, question: Question, end: float) -> Answer:
        signature = _signature(question)
        async with self._generation() as models:
            vector = await embed_by_any([models.query], question, end)
            if models.listed.fusion is not None:
                return await ask_all_channels(models.shards, models.listed.fusion, question, vector, end)
            return await ask_all(models.shards, signature, question, vector, end)

    async def _neighbours(self, question: Question, end: float) -> Answer:
        async with self._generation() as models:
            owner = models.shards[zlib.crc32(question.item_id.encode()) % len(models.shards)]
            return await ask_neighbours([owner], models.shards, _signature(question), question, end)

    async def _embedded(self, question: Question, end: float) -> messages.Tensor:
        async with self._generation() as models:
            return await embed_by_any([models.query], question, end)

    @contextlib.asynccontextmanager
    async def _generation(self) -> Any:
        """Holds the models of one version for a call; those of an older one end with their last call."""
        if self._follower is None:
            self._follower = asyncio.create_task(self._follow())
        models = self._now
        models.calls += 1
        try:
            yield models
        finally:
            models.calls -= 1
            if models is not self._now and not models.calls:
                await models.close()

    async def _follow(self) -> None:
        coming: _Generation | None = None
        try:
            while True:
                await asyncio.sleep(self._poll_s)
                with contextlib.suppress(ValueError):  # a file that cannot be read now may be there again
                    listed = read_shard_map(self._path)
                    if coming is not None and coming.listed != listed:
                        await coming.close()
                        coming = None
                    if listed != self._now.listed:
                        coming = coming or _Generation(listed, **self._settings)
                        if await coming.is_served():
                            before, self._now, coming = self._now, coming, None
                            if not before.calls:
                                await before.close()
        finally:
            if coming is not None:
                await coming.close()


def _signature(question: Question) -> str:
    """What searches a shard by a vector."""
    return "search_filtered" if question.conditions else "search"
