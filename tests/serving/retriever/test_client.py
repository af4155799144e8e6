"""The client against real servers: what it sends and reads, and what it does when servers fail."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from concurrent import futures
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest

from serving.client import AsyncRetriever, CallPolicy, RetrievalError, Retriever, User
from serving.retriever.breaker import Breaker, BreakerPolicy
from serving.retriever.request import Question
from serving.retriever.retries import RETRYABLE
from serving.runtime.config_files import ModelConfig
from serving.runtime.grpc_server import ModelServer
from tests.serving.runtime.serving_stubs import TIMEOUT, Stubs, retrieve_inputs
from tests.serving.runtime.small_model import DIM, FILTER_LISTS, VECTOR_LISTS, write_version
from tests.serving.runtime.test_batching import until

REQUESTS = ":tensorflow:serving:request_count"

Serve = Callable[..., ModelServer]
QUERY = "red running shoes"


def target(server: ModelServer) -> str:
    return f"127.0.0.1:{server.port}"


@pytest.fixture(scope="module")
def halves(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The catalogue of the `models` fixture in two shards."""
    bases = []
    for shard in range(2):
        base = tmp_path_factory.mktemp(f"shard{shard}") / "retrieval"
        base.mkdir()
        write_version(base, 1, [f"item{i}" for i in range(shard, 300, 2)])
        bases.append(base)
    return bases


def test_it_sends_what_generated_stubs_send(server: ModelServer, stubs: Stubs) -> None:
    items = [f"item{i}" for i in range(9)]
    user = User(history_queries=["blue", "鞋"], realtime_items=items, long_order_items=["item5"])
    with Retriever(target(server), timeout=TIMEOUT) as retriever:
        answer = retriever.retrieve(QUERY, user, 7)
    lists = {name: [list(getattr(user, name))[:width]] for name, width in VECTOR_LISTS.items()}
    wanted = stubs.predict("retrieve", **retrieve_inputs([QUERY], 7, **lists))
    assert [hit.item_id for hit in answer.hits] == [one.decode() for one in wanted["item_ids"][0]]
    np.testing.assert_allclose([hit.score for hit in answer.hits], wanted["scores"][0], rtol=1e-5)
    assert (answer.partial, answer.versions) == (False, {target(server): 1})


def test_conditions_reach_the_model(server: ModelServer) -> None:
    """An item's only word is its id, which is its brand as well; it costs as much as its row says."""
    with Retriever(target(server), timeout=TIMEOUT) as retriever:
        before = [hit.item_id for hit in retriever.retrieve(QUERY, k=6).hits]
        after = retriever.retrieve(QUERY, k=3, excluded_items=before[:3])
        assert [hit.item_id for hit in after.hits] == before[3:]
        found = retriever.retrieve(QUERY, k=5, allowed_brands=["item9", "item4"])
        assert {hit.item_id for hit in found.hits} == {"item9", "item4"}
        found = retriever.retrieve(QUERY, k=5, price_range=(297, None))
        assert {hit.item_id for hit in found.hits} == {"item297", "item298", "item299"}
        found = retriever.retrieve(QUERY, k=5, price_range=(None, 0), required_terms=["item0"])
        assert [hit.item_id for hit in found.hits] == ["item0"]
        with pytest.raises(ValueError, match="from 9 to 4 there is nothing"):
            retriever.retrieve(QUERY, price_range=(9, 4))
        with pytest.raises(ValueError, match="excluded_items: 4 given, this model takes 3"):
            retriever.retrieve(QUERY, excluded_items=["a", "b", "c", "d"])


def test_neighbours_of_an_item(server: ModelServer, stubs: Stubs) -> None:
    with Retriever(target(server), timeout=TIMEOUT) as retriever:
        answer = retriever.similar("item7", k=20)  # more than a vector is wide
        ids = [hit.item_id for hit in answer.hits]
        assert answer.known and len(set(ids)) == 20 and "item7" not in ids
        fewer = retriever.similar("item7", k=3, excluded_items=ids[:3])
        assert [hit.item_id for hit in fewer.hits] == ids[3:6]
        nobody = retriever.similar("no such item", k=3)
        assert not nobody.known and not nobody.hits and not nobody.partial
    for k in (2, 20):  # the vector is whole, however few items are wanted
        assert stubs.predict("similar", **similar_inputs("item7", k))["embedding"].shape == (1, DIM)


def similar_inputs(item_id: str, k: int) -> dict[str, np.ndarray]:
    wanted = retrieve_inputs([""], k)
    conditions = {name: wanted[name] for name in (*FILTER_LISTS, "price_range", "k")}
    return conditions | {"item_id": np.array([item_id.encode()], object)}


def test_neighbours_in_shards_of_ones_own(serve: Serve, models: Path, halves: list[Path]) -> None:
    """Whoever has the item is found by asking all; a shard that is gone, or slow, is told."""
    whole, servers = serve(models), [serve(half) for half in halves]
    targets = [target(one) for one in servers]
    with Retriever(target(whole), timeout=TIMEOUT) as one, Retriever(targets, timeout=TIMEOUT) as shards:
        for item_id in ("item3", "item4"):
            found, wanted = shards.similar(item_id, k=9), one.similar(item_id, k=9)
            assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in wanted.hits])
            assert item_id not in {hit.item_id for hit in found.hits} and found.versions.keys() == {*targets}
        assert not shards.similar("nobody", k=9).known
        with pytest.raises(ValueError, match="several targets take no conditions"):
            shards.similar("item3", allowed_brands=["item9"])
        servers[1].stop(0)
        answer = shards.similar("item4", k=9)
        assert answer.known and answer.hits and set(answer.missing) == {targets[1]}
        lost = shards.similar("item3", k=9)
        assert not lost.known and not lost.hits and set(lost.missing) == {targets[1]}


def test_a_condition_that_a_model_does_not_know_is_told() -> None:
    question = Question(QUERY, User(), 5, allowed_brands=["acme"], price_range=(None, 9))
    older = {"query": (1,), "k": (1,), "required_terms": (-1, 2)}
    with pytest.raises(ValueError, match="takes no allowed_brands, price_range"):
        question.inputs(older)
    assert question.inputs({"query": (1,)}).keys() == {"query"}  # what embeds has no conditions


def test_an_event_loop_and_many_threads(server: ModelServer) -> None:
    async def many() -> list[Any]:
        async with AsyncRetriever(target(server), timeout=TIMEOUT) as retriever:
            return await asyncio.gather(*(retriever.retrieve(f"word{i}", k=3) for i in range(50)))

    found = asyncio.run(many())
    with Retriever(target(server), timeout=TIMEOUT) as retriever, futures.ThreadPoolExecutor(8) as pool:
        again = list(pool.map(lambda i: retriever.retrieve(f"word{i}", k=3), range(50)))
    for one, other in zip(found, again, strict=True):
        assert [hit.item_id for hit in one.hits] == [hit.item_id for hit in other.hits]
        assert [hit.score for hit in one.hits] == pytest.approx([hit.score for hit in other.hits])


def test_embedding_and_versions(server: ModelServer, stubs: Stubs) -> None:
    with Retriever(target(server), timeout=TIMEOUT, version=1) as retriever:
        vector = retriever.embed(QUERY)
        found = stubs.predict("search", embedding=np.array([vector], np.float32), k=np.array([3], np.int32))
        assert [one.decode() for one in found["item_ids"][0]] == [
            hit.item_id for hit in retriever.retrieve(QUERY, k=3).hits
        ]
    assert len(vector) == DIM
    with Retriever(target(server), timeout=TIMEOUT, version=2) as retriever, pytest.raises(RetrievalError) as caught:
        retriever.retrieve(QUERY)
    assert caught.value.code is grpc.StatusCode.NOT_FOUND


def test_shards_merge_to_what_one_index_finds(server: ModelServer, halves: list[Path], serve: Serve) -> None:
    targets = [target(serve(base)) for base in halves]
    for conditions in ({}, {"allowed_leaves": ["any"]}):
        with Retriever(targets, timeout=TIMEOUT) as sharded, Retriever(target(server), timeout=TIMEOUT) as whole:
            found, wanted = (one.retrieve(QUERY, k=20, **conditions) for one in (sharded, whole))
        assert [hit.score for hit in found.hits] == pytest.approx([hit.score for hit in wanted.hits])
        assert {hit.item_id for hit in found.hits[:10]} <= {hit.item_id for hit in wanted.hits}
        assert (found.partial, list(found.versions)) == (False, targets)


def test_a_shard_killed_under_load_makes_answers_partial_and_none_fails(halves: list[Path], serve: Serve) -> None:
    servers = [serve(base) for base in halves]
    policy = CallPolicy(attempts=2, backoff=0.001, breaker=BreakerPolicy(failures=3, pause=0.05))
    answers: list[Any] = []
    ended = threading.Event()
    with Retriever([target(one) for one in servers], timeout=TIMEOUT, policy=policy) as retriever:

        def ask() -> None:
            while not ended.is_set():
                answers.append(retriever.retrieve(QUERY, k=5))

        with futures.ThreadPoolExecutor(4) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            try:
                until(lambda: len(answers) > 20)
                port = servers[1].port
                servers[1].stop(0)
                until(lambda: sum(answer.partial for answer in answers) > 20)
                assert all(list(answer.missing) == [f"127.0.0.1:{port}"] for answer in answers if answer.partial)
                revived = ModelServer(
                    servers[1].settings.__class__([ModelConfig("retrieval", halves[1])], f"127.0.0.1:{port}")
                )
                revived.bind()
                revived.start()
                until(lambda: not answers[-1].partial)
                revived.stop(0)
            finally:
                ended.set()
        for one in asking:
            one.result()
    assert all(len(answer.hits) == 5 for answer in answers)


def test_no_shard_at_all() -> None:
    with Retriever(["127.0.0.1:1", "127.0.0.1:2"], timeout=2) as retriever, pytest.raises(RetrievalError) as caught:
        retriever.retrieve(QUERY)
    assert caught.value.code is grpc.StatusCode.UNAVAILABLE


def test_replicas_share_the_load_and_one_may_die(models: Path, serve: Serve) -> None:
    servers = [serve(models) for _ in range(2)]
    labels = {"model_name": "retrieval", "status": "OK"}
    with Retriever(",".join(target(one) for one in servers), timeout=TIMEOUT) as retriever:

        def answered() -> list[int]:
            counts = [one.metrics.registry.get_sample_value(f"{REQUESTS}_total", labels) for one in servers]
            return [int(count or 0) for count in counts]

        until(lambda: bool(retriever.retrieve(QUERY, k=2).hits) and min(answered()) > 0)  # connected to both
        before = answered()
        for _ in range(40):
            retriever.retrieve(QUERY, k=2)
        counts = [now - then for now, then in zip(answered(), before, strict=True)]
        assert sum(counts) == 40
        assert min(counts) > 4
        servers[0].stop(0)
        for _ in range(20):
            assert len(retriever.retrieve(QUERY, k=2).hits) == 2


class Scripted:
    """A gRPC server in front of a real one that does as told first: a status, a wait, or nothing (forwards)."""

    def __init__(self, server: ModelServer, script: list[grpc.StatusCode | float]) -> None:
        self._channel = grpc.insecure_channel(target(server))
        self._script = itertools.chain(script, itertools.repeat(None))
        self.calls = 0
        self.released = threading.Event()
        self._grpc = grpc.server(futures.ThreadPoolExecutor(8), handlers=[self])  # type: ignore[list-item]
        self.target = f"127.0.0.1:{self._grpc.add_insecure_port('127.0.0.1:0')}"
        self._grpc.start()

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
        forward = self._channel.unary_unary(details.method)

        def handle(request: bytes, context: grpc.ServicerContext) -> bytes:
            if details.method.endswith("/Predict"):
                self.calls += 1
                told = next(self._script)
                if isinstance(told, grpc.StatusCode):
                    context.abort(told, "as told")
                if isinstance(told, float):
                    self.released.wait(told)
            return forward(request, timeout=TIMEOUT)

        return grpc.unary_unary_rpc_method_handler(handle)

    def stop(self) -> None:
        self.released.set()
        self._grpc.stop(None).wait()
        self._channel.close()


@pytest.fixture
def scripted(server: ModelServer) -> Any:
    made: list[Scripted] = []

    def make(*script: grpc.StatusCode | float) -> Scripted:
        made.append(Scripted(server, list(script)))
        return made[-1]

    yield make
    for one in made:
        one.stop()


@pytest.mark.parametrize("code", sorted(RETRYABLE, key=lambda code: code.name))
def test_retryable_codes_are_retried(scripted: Any, code: grpc.StatusCode) -> None:
    one = scripted(code, code)
    with Retriever(one.target, timeout=TIMEOUT) as retriever:
        assert len(retriever.retrieve(QUERY, k=2).hits) == 2
    assert one.calls == 3


@pytest.mark.parametrize("code", [grpc.StatusCode.INTERNAL, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED])
def test_other_codes_are_not(scripted: Any, code: grpc.StatusCode) -> None:
    one = scripted(code)
    with Retriever(one.target, timeout=TIMEOUT) as retriever, pytest.raises(RetrievalError) as caught:
        retriever.retrieve(QUERY, k=2)
    assert (caught.value.code, caught.value.message, one.calls) == (code, "as told", 1)


def test_attempts_end(scripted: Any) -> None:
    one = scripted(*[grpc.StatusCode.UNAVAILABLE] * 9)
    policy = CallPolicy(attempts=4, backoff=0.001)
    with Retriever(one.target, timeout=TIMEOUT, policy=policy) as retriever, pytest.raises(RetrievalError):
        retriever.retrieve(QUERY, k=2)
    assert one.calls == 4


def test_a_slow_server_is_hedged(scripted: Any) -> None:
    slow, fast = scripted(*[float(TIMEOUT)] * 99), scripted()
    policy = CallPolicy(hedge_after=0.05)
    with Retriever(f"{slow.target},{fast.target}", timeout=TIMEOUT, policy=policy) as retriever:
        for _ in range(10):
            assert len(retriever.retrieve(QUERY, k=2).hits) == 2
        until(lambda: slow.calls > 0)
    assert fast.calls == 10


def test_a_slow_shard_is_missing_within_the_deadline(scripted: Any, server: ModelServer) -> None:
    slow = scripted(*[float(TIMEOUT)] * 99)
    with Retriever([target(server), slow.target], timeout=3.0) as retriever:
        answer = retriever.retrieve(QUERY, k=5)
    assert (len(answer.hits), list(answer.missing)) == (5, [slow.target])
    assert "DEADLINE_EXCEEDED" in answer.missing[slow.target]


def test_an_open_circuit_asks_no_more_until_its_pause_is_over(scripted: Any) -> None:
    one = scripted(*[grpc.StatusCode.INTERNAL] * 3)
    policy = CallPolicy(breaker=BreakerPolicy(failures=3, pause=3.0))
    with Retriever(one.target, timeout=TIMEOUT, policy=policy) as retriever:
        codes = []
        for _ in range(5):
            with pytest.raises(RetrievalError) as caught:
                retriever.retrieve(QUERY)
            codes.append(caught.value.message)
        assert codes == ["as told"] * 3 + ["the circuit of every server is open"] * 2
        assert one.calls == 3

        def answered() -> bool:
            try:
                return bool(retriever.retrieve(QUERY, k=1).hits)
            except RetrievalError:
                return False

        until(answered)


def test_a_breaker_lets_one_try_and_waits_longer_each_time() -> None:
    now = [0.0]
    breaker = Breaker(BreakerPolicy(failures=2, pause=1, longest_pause=3), lambda: now[0])
    for _ in range(2):
        assert not breaker.is_open
        breaker.begin()
        breaker.failed()
    assert breaker.is_open
    now[0] = 1.3
    assert not breaker.is_open
    breaker.begin()
    assert breaker.is_open  # for everybody but the one who tries
    breaker.failed()
    now[0] = 2.5
    assert breaker.is_open
    now[0] = 4.0
    assert not breaker.is_open
    breaker.begin()
    breaker.succeeded()
    assert not breaker.is_open


def test_widths_that_change_with_a_version_are_learnt_anew(
    tmp_path: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.serving.runtime import small_model

    base = tmp_path / "retrieval"
    base.mkdir()
    write_version(base, 1)
    server = serve(base, poll_seconds=0.05)
    with Retriever(target(server), timeout=TIMEOUT) as retriever:
        assert retriever.retrieve(QUERY, k=1).versions == {target(server): 1}
        monkeypatch.setitem(small_model.VECTOR_LISTS, "short_items", 9)
        write_version(base, 2)
        until(lambda: server.manager.available() == {"retrieval": [2]})
        assert retriever.retrieve(QUERY, k=1).versions == {target(server): 2}
