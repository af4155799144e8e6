"""The servers of a soak: two for each model, of which the second may be killed at any time."""

from __future__ import annotations

import random
from pathlib import Path

from benchmarks.soak.placed import QUERY, Placed
from benchmarks.soak.replica import MODEL, Replica
from serving.inputs import ITEM_INPUTS
from serving.retriever import messages
from serving.retriever.blocking import Retriever

COPIES = ("a", "b")
_HELD = 3  # versions of a shard in memory: those in use, the one that comes, and a damaged one between them
_ROWS = 8
_WORDS = ("red", "shoes", "手机", "lamp")


def shard_target(folder: Path) -> str:
    """Where shards.json is to say that a model is served: by sockets, whose names follow from the model's."""
    return ",".join(f"unix:{folder}/{{name}}-{copy}" for copy in COPIES)


def replicas_of(placed: Placed, folder: Path, seed: int) -> list[Replica]:
    """All of them, not started."""
    chance = random.Random(seed)
    found = []
    for name, part in placed.parts.items():
        request = _request(name, placed, chance)
        for copy in COPIES:
            if placed.shards:
                config = folder / f"{name}.config"
                config.write_text(_config(name, part.path))
                socket = ["--grpc-socket-path", str(folder / f"{name}-{copy}")]
                server, flags, held = f"{name}-{copy}", ["--model-config-file", str(config), *socket], _HELD
            else:
                flags = ["--model-base-path", str(part.path.absolute()), "--model-name", MODEL]
                server, held = copy, 1
            log = folder / f"server-{server}.log"
            found.append(Replica(server, name, flags, log, request, held, killable=copy != COPIES[0]))
    return found


def retriever_over(placed: Placed, replicas: list[Replica], timeout: float) -> Retriever:
    """A client of them."""
    if placed.shards:
        return Retriever(shards=str(placed.shard_map), timeout=timeout)
    return Retriever(",".join(replica.target for replica in replicas), timeout=timeout)


def _config(name: str, base: Path) -> str:
    policy = f"model_version_policy {{ latest {{ num_versions: {_HELD} }} }}"
    return (
        f'model_config_list {{ config {{ name: "{name}" base_path: "{base}" model_platform: "tensorflow" {policy} }} }}'
    )


def _request(name: str, placed: Placed, chance: random.Random) -> bytes:
    """A valid request to a model."""
    texts = [" ".join(chance.choices(_WORDS, k=3)) for _ in range(_ROWS)]
    if not placed.shards:
        return messages.predict_request(messages.model_spec(name), {"query": messages.string_tensor(texts, [_ROWS])})
    if name == QUERY:
        inputs = {one: messages.string_tensor(texts, [_ROWS]) for one in ITEM_INPUTS}
        return messages.predict_request(messages.model_spec(name, "embed_item"), inputs)
    dim = next(iter(placed.parts.values())).manifest(placed.latest() or 0)["dim"]
    vectors = [chance.gauss(0, 1) for _ in range(_ROWS * dim)]
    inputs = {"embedding": messages.float_tensor(vectors, [_ROWS, dim])}
    inputs["k"] = messages.int32_tensor([10] * _ROWS, [_ROWS])
    return messages.predict_request(messages.model_spec(name, "search"), inputs)
