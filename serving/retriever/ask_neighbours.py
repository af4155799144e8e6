"""What is most like an item: whoever has it gives its vector and its neighbours there, all others theirs."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from serving.retriever.answers import Answer, Hit
from serving.retriever.ask_shards import Outputs, ask, hits_of, merged_hits, of_all, predict
from serving.retriever.request import Question
from serving.retriever.retries import RetrievalError, Shard


class _Owner(NamedTuple):
    """Who has the item, and what it said."""

    name: str
    outputs: Outputs
    version: int


async def ask_neighbours(
    may_have_it: Sequence[Shard], shards: Sequence[Shard], signature: str, question: Question, end: float
) -> Answer:
    """The k best beside an item among all shards' items.

    Args:
      may_have_it: the shards one of which has the item, if anybody has.
      shards: all of them.
      signature: what searches a shard by a vector, with the question's conditions.
      question: with an `item_id`.
      end: on the monotonic clock.
    """
    unknown = Answer([], known=False)
    owner = await _owner(may_have_it, question, end, unknown)
    if owner is None:
        return unknown
    vector = owner.outputs["embedding"]
    calls = [
        _said(owner, question.k) if shard.name == owner.name else ask(shard, signature, question, end, vector)
        for shard in shards
    ]
    return merged_hits(*await of_all(shards, calls), question.k)


async def _said(owner: _Owner, k: int) -> tuple[list[Hit], int]:
    return hits_of(owner.outputs)[:k], owner.version


async def _owner(shards: Sequence[Shard], question: Question, end: float, unknown: Answer) -> _Owner | None:
    """The first that says it has the item. None where nobody does, and then who said so and who is missing."""
    calls = {asyncio.create_task(predict(shard, "similar", question, None, end)): shard for shard in shards}
    failures: list[RetrievalError] = []
    pending = set(calls)
    try:
        while pending:
            done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
            for call in done:
                shard, error = calls[call], call.exception()
                if isinstance(error, RetrievalError):
                    failures.append(error)
                    unknown.missing[shard.name] = f"{error.code.name}: {error.message}"
                    continue
                outputs, version = call.result()
                if outputs["known"].ints[0]:
                    return _Owner(shard.name, outputs, version)
                unknown.versions[shard.name] = version
    finally:
        for call in pending:
            call.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
    if not unknown.versions:
        raise failures[0]
    return None
