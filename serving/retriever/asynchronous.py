"""The library: a query and its user to the best items, from one shard or from all of them."""

from __future__ import annotations

import abc
import asyncio
import dataclasses
import heapq
import random
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypeVar

import grpc

from serving.retriever import messages
from serving.retriever.fuse_lists import VECTOR, Listed, Rule, fuse, merged
from serving.retriever.request import OPEN, PriceRange, Question, User
from serving.retriever.retries import CallPolicy, Model, RetrievalError, Shard

Outputs = dict[str, messages.Tensor]
Found = TypeVar("Found")
_EMBED_SHARE = 0.5  # of the time left that one shard may take to embed, when others could do it


@dataclass(frozen=True)
class Hit:
    """One item found."""

    item_id: str
    score: float
    channels: int = VECTOR  # what found it


@dataclass(frozen=True)
class Answer:
    """The best items, best first. It is partial when a shard did not answer in time: its items are not among them."""

    hits: list[Hit]
    missing: dict[str, str] = field(default_factory=dict)  # shard -> why it did not answer
    versions: dict[str, int] = field(default_factory=dict)  # shard -> the model version that answered

    @property
    def partial(self) -> bool:
        """Whether a shard is missing."""
        return bool(self.missing)


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
            hits, version = await _ask(self.shards[0], "retrieve", question, end)
            return Answer(hits[: question.k], {}, {self.shards[0].name: version})
        if question.conditions:
            return await ask_all(self.shards, "retrieve", question, None, end)
        return await ask_all(self.shards, "search", question, await self._embedded(question, end), end)

    async def _embedded(self, question: Question, end: float) -> messages.Tensor:
        return await embed_by_any(self.shards, question, end)


async def embed_by_any(shards: Sequence[Shard], question: Question, end: float) -> messages.Tensor:
    """By any shard: all hold the same towers. The next is asked where one fails or is slow."""
    order = random.sample(shards, len(shards))
    order.sort(key=lambda shard: shard.is_open)
    for left, shard in zip(range(len(order) - 1, -1, -1), order, strict=True):
        now = time.monotonic()
        until = now + (end - now) * _EMBED_SHARE if left else end
        try:
            outputs, _ = await _predict(shard, "embed_query", question, None, until)
            return outputs["embedding"]
        except RetrievalError as error:
            if not left or error.code is grpc.StatusCode.INVALID_ARGUMENT:
                raise
    raise AssertionError("the last shard answers or raises")


async def ask_all(
    shards: Sequence[Shard], signature: str, question: Question, vector: messages.Tensor | None, end: float
) -> Answer:
    """The answers of all shards, merged by score; of those that answer, where some do not."""
    found, answer = await _of_all(shards, [_ask(shard, signature, question, end, vector) for shard in shards])
    answer.hits.extend(heapq.nlargest(question.k, (hit for hits in found for hit in hits), key=lambda hit: hit.score))
    return answer


async def ask_all_channels(
    shards: Sequence[Shard], rule: Rule, question: Question, vector: messages.Tensor, end: float
) -> Answer:
    """The same of both channels: each channel's lists are merged, then the two are fused."""
    deep = dataclasses.replace(question, k=max(question.k, rule.depth) if question.k > 0 else 0)
    calls = [_predict(shard, "search_channels", deep, vector, end) for shard in shards]
    found, answer = await _of_all(shards, calls)
    by_vector, by_words = (merged((_listed(one, prefix) for one in found), deep.k) for prefix in ("", "word_"))
    kind = found[0]["kinds"].ints[0]  # by the query's words alone: of one version all shards say the same
    fused = fuse(rule, by_vector, by_words, kind, max(question.k, 0))
    answer.hits.extend(Hit(one.item_id, one.score, one.channels) for one in fused)
    return answer


def _listed(outputs: Outputs, prefix: str) -> list[Listed]:
    """One channel's list of one shard."""
    ids, scores, places = (outputs[f"{prefix}{name}"] for name in ("item_ids", "scores", "places"))
    rows = zip(scores.floats, places.ints, ids.strings, strict=True)
    return [Listed(score, place, one.decode("utf-8", "replace")) for score, place, one in rows if one]


async def _of_all(
    shards: Sequence[Shard], calls: Sequence[Coroutine[Any, Any, tuple[Found, int]]]
) -> tuple[list[Found], Answer]:
    """What the shards that answer found, and an answer without hits that names the others."""
    results = await asyncio.gather(*calls, return_exceptions=True)
    found: list[Found] = []
    answer = Answer([])
    failures: list[RetrievalError] = []
    for shard, result in zip(shards, results, strict=True):
        if isinstance(result, RetrievalError):
            failures.append(result)
            answer.missing[shard.name] = f"{result.code.name}: {result.message}"
        elif isinstance(result, BaseException):
            raise result
        else:
            found.append(result[0])
            answer.versions[shard.name] = result[1]
    if not found:
        raise failures[0]
    return found, answer


async def _ask(
    shard: Shard, signature: str, question: Question, end: float, vector: messages.Tensor | None = None
) -> tuple[list[Hit], int]:
    outputs, version = await _predict(shard, signature, question, vector, end)
    ids, scores = outputs["item_ids"].strings, outputs["scores"].floats
    channels = outputs["channels"].ints if "channels" in outputs else [VECTOR] * len(ids)  # `search` is by vector alone
    found = zip(ids, scores, channels, strict=True)
    hits = [Hit(one.decode("utf-8", "replace"), score, channel) for one, score, channel in found if one]
    return hits[: question.k], version


async def _predict(
    shard: Shard, signature: str, question: Question, vector: messages.Tensor | None, end: float
) -> tuple[dict[str, messages.Tensor], int]:
    """One call; where its inputs' widths are refused they are asked for anew: a version may have changed them."""
    known = shard.shapes is not None
    try:
        return await _predict_once(shard, signature, question, vector, end)
    except RetrievalError as error:
        if not known or error.code is not grpc.StatusCode.INVALID_ARGUMENT:
            raise
    shard.shapes = None
    return await _predict_once(shard, signature, question, vector, end)


async def _predict_once(
    shard: Shard, signature: str, question: Question, vector: messages.Tensor | None, end: float
) -> tuple[dict[str, messages.Tensor], int]:
    # `search` has no inputs of a fixed width, which would have to be asked for
    shapes = {"k": (1,)} if signature == "search" else dict(await input_shapes(shard, signature, end))
    embedding = {}
    if vector is not None:
        embedding = {"embedding": messages.float_tensor(vector.floats, vector.shape)}
        shapes.pop("embedding", None)
    inputs = question.inputs(shapes) | embedding
    spec = messages.model_spec(shard.model.name, signature, shard.model.version, shard.model.label)
    answer = await shard.predict(messages.predict_request(spec, inputs), max(0.0, end - time.monotonic()))
    try:
        return messages.read_predict_response(answer)
    except messages.WireError as error:
        raise RetrievalError(grpc.StatusCode.INTERNAL, f"unreadable answer: {error}", shard.name) from None


async def input_shapes(shard: Shard, signature: str, end: float) -> dict[str, tuple[int, ...] | None]:
    """The input shapes of a signature, asked for once."""
    if shard.shapes is None:
        spec = messages.model_spec(shard.model.name, "", shard.model.version, shard.model.label)
        answer = await shard.metadata(messages.metadata_request(spec), max(0.0, end - time.monotonic()))
        shard.shapes = messages.read_input_shapes(answer)
    if signature not in shard.shapes:
        raise RetrievalError(grpc.StatusCode.FAILED_PRECONDITION, f"the model has no signature {signature}", shard.name)
    return shard.shapes[signature]
