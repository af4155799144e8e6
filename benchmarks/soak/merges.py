"""Whether each answer of shards was the exact merge of one version: all kept while the soak lives, judged at its end.

Judged by the versions themselves, loaded into this process one after the other: every question's vector from the
query model, every item's score from each shard's own `search`, and all of them sorted here.
"""

from __future__ import annotations

import collections
import os
import shutil
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from benchmarks.soak.placed import QUERY, Placed
from benchmarks.soak.shop import Question
from serving.retriever.answers import Hit

_BATCH = 32
_ALL = 10_000  # `serving.max_k`: more than a shard of a soak has
_NEAR = 1e-4  # of a score, which differs in its last digits by who else was in its batch
Scores = Mapping[str, float]


class Kept(NamedTuple):
    """An answer and what was asked."""

    query: str
    user: dict[str, list[str]]
    k: int
    leaf: str | None
    hits: list[tuple[str, float]]

    @property
    def asked(self) -> bytes:
        """What the vector follows from."""
        return orjson.dumps([self.query, self.user])


class Answers:
    """A file of answers for each version, and the versions themselves, which the product prunes."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._lock = folder, threading.Lock()
        folder.mkdir()

    def add(self, question: Question, k: int, leaf: str | None, version: int, hits: Sequence[Hit]) -> None:
        """Any thread may."""
        user = {name: list(values) for name, values in vars(question.user).items()}
        kept = Kept(question.query, user, k, leaf, [(one.item_id, one.score) for one in hits])
        line = orjson.dumps(list(kept), option=orjson.OPT_APPEND_NEWLINE)
        with self._lock, (self._folder / f"{version}.jsonl").open("ab") as file:
            file.write(line)

    def keep(self, placed: Placed, version: int) -> None:
        """The files of a version, of which the disk holds one copy."""
        for name, part in placed.parts.items():
            shutil.copytree(part.model(version), self._folder / str(version) / name, copy_function=os.link)

    def faults(self, leaf_of: Mapping[str, str]) -> tuple[int, list[str]]:
        """How many answers there are, and a line for each that is no merge."""
        count, found = 0, []
        for path in sorted(self._folder.glob("*.jsonl"), key=lambda one: int(one.stem)):
            kept = [Kept(*orjson.loads(line)) for line in path.read_bytes().splitlines()]
            count += len(kept)
            found += [f"version {path.stem}, {one}" for one in _faults_of(kept, path.with_suffix(""), leaf_of)]
        return count, found


def _faults_of(kept: list[Kept], version: Path, leaf_of: Mapping[str, str]) -> Iterator[str]:
    by_question = collections.defaultdict(list)
    for one in kept:
        by_question[one.asked].append(one)
    questions = [answers[0] for answers in by_question.values()]
    for answers, scores in zip(by_question.values(), all_scores(version, questions), strict=True):
        for one in answers:
            mine = scores
            if one.leaf is not None:
                mine = {name: score for name, score in scores.items() if leaf_of[name] == one.leaf}
            if wrong := wrong_merge(one.hits, one.k, mine):
                yield f"{one.query!r}, k {one.k}, leaf {one.leaf}: {wrong}"


def wrong_merge(hits: Iterable[tuple[str, float]], k: int, scores: Scores) -> str | None:
    """What is wrong with hits that should be the k best of these scores; items of one score may be in any order."""
    hits, best = list(hits), sorted(scores.values(), reverse=True)[:k]
    if len(hits) != len(best):
        return f"{len(hits)} items of {len(best)}"
    for place, ((item_id, score), wanted) in enumerate(zip(hits, best, strict=True)):
        if item_id not in scores:
            return f"{item_id} is not of this version"
        if not _near(score, scores[item_id]):
            return f"{item_id} has {score}, its score is {scores[item_id]}"
        if not _near(score, wanted):
            return f"place {place} has {score}, the best there is {wanted}"
    return None


def _near(one: float, other: float) -> bool:
    return abs(one - other) <= _NEAR * max(1.0, abs(other))


def all_scores(version: Path, questions: Sequence[Kept]) -> Iterator[dict[str, float]]:
    """For each question the score of every item of a version."""
    # TensorFlow comes with these: not before the clients' memory has been judged.
    import numpy as np

    from serving.graph.saved_model import ServedModel

    def batches() -> Iterator[Sequence[Kept]]:
        return (questions[at : at + _BATCH] for at in range(0, len(questions), _BATCH))

    with ServedModel(str(version / QUERY), False) as model:
        inputs = model.signatures["embed_query"].inputs
        vectors = [model.call("embed_query", _embedded(batch, inputs))["embedding"] for batch in batches()]
    shards = [ServedModel(str(path), False) for path in sorted(version.iterdir()) if path.name != QUERY]
    try:
        for one in vectors:
            everything = np.full(len(one), _ALL, np.int32)
            found = [shard.call("search", {"embedding": one, "k": everything}) for shard in shards]
            for row in range(len(one)):
                yield {
                    item_id.decode(): float(score)
                    for part in found
                    for item_id, score in zip(part["item_ids"][row], part["scores"][row], strict=True)
                    if item_id
                }
    finally:
        for shard in shards:
            shard.close()


def _embedded(questions: Sequence[Kept], definitions: Mapping[str, Any]) -> dict[str, Any]:
    """The inputs of `embed_query`."""
    import numpy as np

    inputs: dict[str, Any] = {"query": np.array([one.query for one in questions], object)}
    for name in definitions.keys() - {"query"}:
        width = definitions[name].tensor_shape.dim[1].size
        inputs[name] = np.full([len(questions), width], "", object)
        for row, one in enumerate(questions):
            values = one.user[name][:width]
            inputs[name][row, : len(values)] = values
    return inputs
