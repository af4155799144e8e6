"""Calls of shards: one of them, any of them, or all of them with their answers merged."""

from __future__ import annotations

import asyncio
import dataclasses
import heapq
import random
import time
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import grpc

from serving.retriever import messages
from serving.retriever.answers import Answer, Hit
from serving.retriever.fuse_lists import VECTOR, Listed, Rule, fuse, merged
from serving.retriever.request import Question
from serving.retriever.retries import RetrievalError, Shard

Outputs = dict[str, messages.Tensor]
Found = TypeVar("Found")
_EMBED_SHARE = 0.5  # of the time left that one shard may take to embed, when others could do it


async def embed_by_any(shards: Sequence[Shard], question: Question, end: float) -> messages.Tensor:
    """By any shard: all hold the same towers. The next is asked where one fails or is slow."""
    order = random.sample(shards, len(shards))
    order.sort(key=lambda shard: shard.is_open)
    for left, shard in zip(range(len(order) - 1, -1, -1), order, strict=True):
        now = time.monotonic()
        until = now + (end - now) * _EMBED_SHARE if left else end
        try:
            outputs, _ = await predict(shard, "embed_query", question, None, until)
            return outputs["embedding"]
        except RetrievalError as error:
            if not left or error.code is grpc.StatusCode.INVALID_ARGUMENT:
                raise
    raise AssertionError("the last shard answers or raises")


async def ask_all(
    shards: Sequence[Shard], signature: str, question: Question, vector: messages.Tensor | None, end: float
) -> Answer:
    """The answers of all shards, merged by score; of those that answer, where some do not."""
    calls = [ask(shard, signature, question, end, vector) for shard in shards]
    return merged_hits(*await of_all(shards, calls), question.k)


def merged_hits(found: Sequence[Sequence[Hit]], answer: Answer, k: int) -> Answer:
    """An answer with the k best of some lists."""
    answer.hits.extend(heapq.nlargest(k, (hit for hits in found for hit in hits), key=lambda hit: hit.score))
    return answer


async def ask_all_channels(
    shards: Sequence[Shard], rule: Rule, question: Question, vector: messages.Tensor, end: float
) -> Answer:
    """The same of both channels: each channel's lists are merged, then the two are fused."""
    deep = dataclasses.replace(question, k=max(question.k, rule.depth) if question.k > 0 else 0)
    calls = [predict(shard, "search_channels", deep, vector, end) for shard in shards]
    found, answer = await of_all(shards, calls)
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


async def of_all(
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


async def ask(
    shard: Shard, signature: str, question: Question, end: float, vector: messages.Tensor | None = None
) -> tuple[list[Hit], int]:
    outputs, version = await predict(shard, signature, question, vector, end)
    return hits_of(outputs)[: question.k], version


def hits_of(outputs: Outputs) -> list[Hit]:
    """The items of an answer to one request."""
    ids, scores = outputs["item_ids"].strings, outputs["scores"].floats
    channels = outputs["channels"].ints if "channels" in outputs else [VECTOR] * len(ids)  # others are by vector alone
    found = zip(ids, scores, channels, strict=True)
    return [Hit(one.decode("utf-8", "replace"), score, channel) for one, score, channel in found if one]


async def predict(
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
