"""What a version must show before it appears."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from preprocessing.data.features import VECTOR
from serving.catalogue.data_records import Requests
from serving.config import GateConfig
from serving.graph.saved_model import ServedModel
from serving.inputs import FILTER_LISTS, ITEM_INPUTS, ITEM_PRICE, PRICE_RANGE, SIGNAL_LISTS, VECTOR_LISTS, beside
from serving.release.tune_effort import Recalls, recalls_of

SIGNATURES = ("serving_default", "retrieve", "embed_query", "embed_item", "search")
_BATCH = 32
_KNOWN = 20  # requests whose answers are looked at one by one


class ExactAnswers(NamedTuple):
    """The exact answers a version is held against."""

    queries: np.ndarray  # float32 [Q, dim]
    item_ids: np.ndarray  # object [Q, k], their exact answers
    target: float


class ServedVersion(NamedTuple):
    """The version that is served now."""

    path: str
    scann: bool
    widths: dict[str, int]


class Verdict(NamedTuple):
    """What the gate saw; a version without reasons against it may appear."""

    reasons: list[str]
    figures: dict[str, Any]


class Judge:
    """Holds staged versions against what they must show."""

    def __init__(self, requests: Requests, widths: dict[str, int], config: GateConfig) -> None:
        self._requests, self._widths, self._config = requests, widths, config

    def verdict(self, path: str, scann: bool, exact: ExactAnswers | None, in_place: Sequence[ServedVersion]) -> Verdict:
        """Loads the version at `path`, then the first of those in place that loads.

        Args:
          path: the staged version.
          scann: whether it needs ScaNN's ops.
          exact: what its index must find; none where the index was measured before.
          in_place: the versions that it would follow, newest first; one that is broken is not what servers answer by.
        """
        try:
            with ServedModel(path, scann) as model:
                reasons, figures = self._look(model, exact)
        except Exception as error:  # whatever goes wrong while loading or answering would go wrong where it is served
            return Verdict([f"it does not load or answer: {line_of(error)}"], {})
        before = None if reasons else self._recall_in_place(in_place)
        if before is not None:
            figures["offline_recall_in_place"] = before
            reasons += regressed(figures["offline_recall"], before, self._config)
        return Verdict(reasons, figures)

    def _look(self, model: ServedModel, exact: ExactAnswers | None) -> tuple[list[str], dict[str, Any]]:
        missing = [name for name in SIGNATURES if name not in model.signatures]
        if missing:
            return [f"no signature {', '.join(missing)}"], {}
        reasons = [*self._known(model), *_cold(model, self._widths)]
        figures: dict[str, Any] = {}
        if exact is not None:
            recalls = index_recalls(model, exact)
            figures["index_recall"] = recalls.mean
            figures |= {f"index_recall_{name}": value for name, value in recalls.described().items() if name != "mean"}
            reasons += short_of(recalls, exact.target)
        figures["offline_recall"] = offline_recall(model, self._requests, self._widths, self._config.k)
        figures["offline_k"] = self._config.k
        return reasons, figures

    def _known(self, model: ServedModel) -> list[str]:
        """Whether known queries are answered by items, best first."""
        for request in self._requests.slice(0, _KNOWN).batches(1):
            answer = model.call("serving_default", {"query": request.inputs["query"]})
            scores = answer["scores"][0]
            scores = scores[np.isfinite(scores)]
            if not answer["item_ids"][0, 0] or np.any(np.diff(scores) > 0):
                query = request.inputs["query"][0].decode(errors="replace")
                return [f"the query {query!r} is answered by nothing, or not best first"]
        return []

    def _recall_in_place(self, versions: Sequence[ServedVersion]) -> float | None:
        for version in versions:
            try:
                with ServedModel(version.path, version.scann) as model:
                    return offline_recall(model, self._requests, version.widths, self._config.k)
            except Exception as error:
                sys.stderr.write(f"{version.path} does not load or answer, so it is not judged by: {line_of(error)}\n")
        return None


def line_of(error: Exception) -> str:
    """What an error says, in one line of bearable length."""
    return " ".join(str(error).split())[:300]


def retrieve_inputs(requests: Requests, widths: dict[str, int], k: int) -> dict[str, np.ndarray]:
    """All inputs that `retrieve` may have for some requests, without conditions; lists are fitted to `widths`."""
    count = len(requests)
    inputs = {"query": requests.inputs["query"], "k": np.full(count, k, np.int32)}
    inputs |= {name: _fitted(requests.inputs[name], widths[name]) for name in VECTOR_LISTS}
    inputs |= {name: _fitted(requests.inputs[name], widths[beside(name)]) for name in SIGNAL_LISTS.values()}
    inputs |= {name: np.full((count, widths[name]), b"", object) for name in FILTER_LISTS}
    return inputs | {PRICE_RANGE: np.full((count, 2), np.nan, np.float32)}


def _fitted(values: np.ndarray, width: int) -> np.ndarray:
    fitted = np.full((len(values), width), b"" if values.dtype == object else 0, values.dtype)
    kept = min(width, values.shape[1])
    fitted[:, :kept] = values[:, :kept]
    return fitted


def call_with(model: ServedModel, signature: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A call with those of the inputs that a signature takes."""
    return model.call(signature, {name: inputs[name] for name in model.signatures[signature].inputs})


def offline_recall(model: ServedModel, requests: Requests, widths: dict[str, int], k: int) -> float:
    """The mean over requests of the share of their clicked and ordered items among the k returned."""
    found = [
        call_with(model, "retrieve", retrieve_inputs(batch, widths, k))["item_ids"][:, :k]
        for batch in requests.batches(_BATCH)
    ]
    return answered_share(np.concatenate(found), requests)


def answered_share(item_ids: np.ndarray, requests: Requests) -> float:
    """The mean over requests of the share of their clicked and ordered items among `[R, k]`."""
    pairs = zip(item_ids.tolist(), requests.answers, strict=True)
    return float(np.mean([len(set(ids) & set(answers)) / len(set(answers)) for ids, answers in pairs]))


def regressed(found: float, before: float, config: GateConfig) -> list[str]:
    """What speaks against a version that finds less of what users wanted than the one in place."""
    if found >= before - config.max_regression:
        return []
    return [
        f"Recall@{config.k} fell from {before:.4f} to {found:.4f}, by more than "
        f"--max-regression {config.max_regression}"
    ]


def index_recalls(model: ServedModel, exact: ExactAnswers) -> Recalls:
    """What `search` finds of the exact answers."""
    k = exact.item_ids.shape[1]
    found = []
    for begin in range(0, len(exact.queries), _BATCH):
        part = exact.queries[begin : begin + _BATCH]
        found.append(model.call("search", {"embedding": part, "k": np.full(len(part), k, np.int32)})["item_ids"])
    return recalls_of(np.concatenate(found), exact.item_ids)


def short_of(recalls: Recalls, target: float) -> list[str]:
    """What speaks against an index: the lower end of its recall's interval must reach the target."""
    if recalls.lower >= target:
        return []
    return [
        f"the index finds {recalls.mean:.4f} of the exact answers, {recalls.lower:.4f} at the lower end of the "
        f"interval; --target-recall is {target}"
    ]


def _cold(model: ServedModel, widths: dict[str, int]) -> list[str]:
    """Whether items and queries that nobody has seen get vectors."""
    new = {name: np.array([b"never seen before", b""], object) for name in ITEM_INPUTS}
    new[ITEM_PRICE] = np.full(2, np.nan, np.float32)
    vector = model.signatures["embed_item"].inputs.get(VECTOR)
    if vector is not None:
        new[VECTOR] = np.zeros((2, vector.tensor_shape.dim[1].size), np.float32)
    query = {"query": np.array([b"never seen before", b""], object)}
    query |= {name: np.full((2, widths[name]), b"never seen before", object) for name in VECTOR_LISTS}
    query |= {name: np.full((2, widths[beside(name)]), 1 << 30, np.int32) for name in SIGNAL_LISTS.values()}
    reasons = []
    for signature, inputs in (("embed_item", new), ("embed_query", query)):
        vectors = call_with(model, signature, inputs)["embedding"]
        if not np.all(np.isfinite(vectors)) or not np.any(vectors[0]):
            reasons.append(f"{signature} gives what it has never seen no finite, non-zero vector")
    return reasons
