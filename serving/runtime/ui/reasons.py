"""One question to one version: what came back, and why each item did."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import types_pb2

from preprocessing.text import analyser
from serving.retriever.fuse_lists import VECTOR
from serving.retriever.request import User
from serving.runtime.model_files import read_bytes
from serving.runtime.predictor import Predictor, signature_of
from serving.runtime.servable import Input, Servable, Signature
from serving.runtime.status import invalid
from serving.runtime.tensors import dtype_of
from serving.runtime.ui.files import Catalogue

# What the page calls the parts of a user's past, and the lists that each is sent in.
HORIZONS = {
    "queries": ("history_queries",),
    "today": ("realtime_items", "realtime_actions", "realtime_ages"),
    "short-term": ("short_items", "short_actions", "short_ages"),
    "long-term": ("long_click_items", "long_order_items", "long_collect_items"),
}
_PAST = tuple(one.name for one in dataclasses.fields(User))
_FRESH = "assets/fresh.txt"  # as serving.release.fresh_items writes it, which would bring Beam into the server
_TEXTS = ("title", "brand", "category_leaf", "category_top")  # where the query's words are looked for
_TOGETHER = 32  # queries in one call
Row = Mapping[str, Any]
NO_CONDITIONS: Row = {
    "required_terms": (),
    "allowed_leaves": (),
    "allowed_brands": (),
    "excluded_items": (),
    "price_range": (math.nan, math.nan),
}


@dataclass(frozen=True)
class Asked:
    """What was typed and picked."""

    query: str
    user: User
    k: int
    conditions: Row  # by the names of `retrieve`'s inputs
    timeout: float
    item_id: str = ""  # whose neighbours are wanted, instead of what answers the query

    def row(self, without: Sequence[str] = ()) -> Row:
        """The inputs of `retrieve`, some lists of the past left out."""
        past = {name: () if name in without else getattr(self.user, name) for name in _PAST}
        return {"query": self.query, "k": self.k, **self.conditions, **past}


class Reasons:
    """Asks versions and explains their answers."""

    def __init__(self, predictor: Predictor, catalogue: Catalogue, words: Words) -> None:
        self._predictor, self._catalogue, self._words = predictor, catalogue, words

    def ask(self, spec: Any, asked: Asked) -> dict[str, Any]:
        """The hits of the version that a ModelSpec names, best first, and what they took."""
        with self._predictor.use(spec) as servable:
            begun = time.perf_counter()
            if asked.item_id:
                row = {"item_id": asked.item_id, "k": asked.k, **asked.conditions}
                found = self._call(servable, "similar", [row], asked.timeout)
            else:
                found = self._call(servable, "retrieve", [asked.row()], asked.timeout)
            answered = time.perf_counter()
            hits = _hits(found)
            horizons = self._explain(servable, asked, hits)
            return {
                "model": servable.name,
                "version": servable.version,
                "hits": hits,
                "known": bool(found["known"][0]) if asked.item_id else True,
                "horizons": horizons,
                "retrieve_ms": (answered - begun) * 1e3,
                "reasons_ms": (time.perf_counter() - answered) * 1e3,
            }

    def answers(self, spec: Any, queries: Sequence[str], k: int, timeout: float) -> dict[str, Any]:
        """The first k ids that a version gives nobody in particular for each of some queries."""
        found: dict[str, list[str]] = {}
        with self._predictor.use(spec) as servable:
            for begin in range(0, len(queries), _TOGETHER):
                some = queries[begin : begin + _TOGETHER]
                rows = [Asked(query, User(), k, NO_CONDITIONS, timeout).row() for query in some]
                ids = self._call(servable, "retrieve", rows, timeout)["item_ids"].tolist()
                for query, row in zip(some, ids, strict=True):
                    found[query] = [one.decode("utf-8", "replace") for one in row if one]
            return {"model": servable.name, "version": servable.version, "answers": found}

    def _explain(self, servable: Servable, asked: Asked, hits: list[dict[str, Any]]) -> list[str]:
        """Adds to the hits what is known of their items and why they came; returns the horizons that there were."""
        fresh = _fresh_ids(servable.path)
        inputs = signature_of(servable, "embed_item").inputs
        attributes = {name for name, one in inputs.items() if one.number == types_pb2.DT_STRING} - {"item_id"}
        known, items = [], []
        for hit in hits:
            record = self._catalogue.record(hit["item_id"])
            hit["fresh"] = hit["item_id"] in fresh
            hit.update({name: str((record or {}).get(name) or "") for name in attributes})
            if record is not None:
                known.append(hit)
                items.append({**hit, **_numbers(inputs, record)})
        texts = [" ".join(hit.get(name, "") for name in _TEXTS) for hit in hits]
        for hit, terms in zip(hits, self._words.shared(asked.query, texts), strict=True):
            hit["terms"] = terms
        horizons = [name for name, lists in HORIZONS.items() if any(getattr(asked.user, one) for one in lists)]
        if horizons and known:
            for hit, changes in zip(known, self._changes(servable, asked, items, horizons), strict=True):
                hit["changes"] = dict(zip(horizons, changes, strict=True))
        return horizons

    def _changes(
        self, servable: Servable, asked: Asked, items: list[dict[str, Any]], horizons: list[str]
    ) -> list[list[float]]:
        """What each horizon adds to each item's score: the score, less the score of the request without it.

        The query is embedded once as it is and once without each of H horizons, n items are embedded as they are: the
        result `[n][H]` is exact for the version's towers, whatever its index approximates.
        """
        rows = [asked.row(), *(asked.row(without=HORIZONS[name]) for name in horizons)]
        queries = self._call(servable, "embed_query", rows, asked.timeout)["embedding"]
        vectors = self._call(servable, "embed_item", items, asked.timeout)["embedding"]
        return (vectors @ (queries[0] - queries[1:]).T).tolist()

    def _call(self, servable: Servable, name: str, rows: Sequence[Row], timeout: float) -> dict[str, np.ndarray]:
        signature = signature_of(servable, name)
        return self._predictor.run(servable, signature, _arrays(signature, rows), timeout)


def _hits(found: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """The items of one answer; neighbours are found by vector alone."""
    ids = [one.decode("utf-8", "replace") for one in found["item_ids"][0]]
    channels = found["channels"][0].tolist() if "channels" in found else [VECTOR] * len(ids)
    named = zip(ids, found["scores"][0].tolist(), channels, strict=True)
    return [{"item_id": one, "score": score, "channels": by} for one, score, by in named if one]


class Words:
    """Splits texts into words."""

    def __init__(self) -> None:
        self._analyse = tf.function(
            lambda texts: analyser.analyse(texts, ["word"])["word"],
            input_signature=[tf.TensorSpec([None], tf.string)],
            autograph=False,
        )

    def of(self, texts: list[str]) -> list[list[str]]:
        """The words of each text, in order."""
        rows = self._analyse(tf.constant(texts, tf.string)).to_list()
        return [[word.decode("utf-8", "replace") for word in row] for row in rows]

    def shared(self, query: str, texts: list[str]) -> list[list[str]]:
        """For each text the words of the query that it has, each once."""
        wanted, *found = self.of([query, *texts])
        return [[word for word in dict.fromkeys(wanted) if word in row] for row in found]


def _numbers(inputs: Mapping[str, Input], record: Row) -> Row:
    """Where a signature takes them, an item's price and its own vector: NaN and zeros for a record that has none."""
    found: dict[str, Any] = {}
    for name, one in inputs.items():
        if one.number == types_pb2.DT_FLOAT and one.shape:
            value = record.get(name)
            if len(one.shape) == 1:
                found[name] = float(value) if isinstance(value, int | float) else math.nan
            else:
                found[name] = value or [0.0] * (one.shape[1] or 0)
    return found


def _arrays(signature: Signature, rows: Sequence[Row]) -> list[np.ndarray]:
    return [_array(one, [row[name] for row in rows]) for name, one in signature.inputs.items()]


def _array(one: Input, values: Sequence[Any]) -> np.ndarray:
    """A signature's input from a value a row; lists are padded to its width, and what is past is cut to it."""
    if one.shape is None or len(one.shape) == 1:
        return np.array([_plain(value) for value in values], dtype_of(one.number))
    texts = one.number == types_pb2.DT_STRING
    if not texts and one.name not in _PAST:
        return np.array(values, dtype_of(one.number))
    width = one.shape[1] or max(map(len, values))
    if one.name not in _PAST and max(map(len, values)) > width:
        raise invalid(f"{one.name}: {max(map(len, values))} given, this model takes {width}")
    padded = np.full((len(values), width), b"" if texts else 0, object if texts else dtype_of(one.number))
    for place, row in enumerate(values):
        kept = [_plain(value) for value in row][:width]
        padded[place, : len(kept)] = kept
    return padded


def _plain(value: Any) -> Any:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value


def _fresh_ids(path: str) -> frozenset[str]:
    """The items of a version's side index."""
    try:
        return frozenset(read_bytes(f"{path}/{_FRESH}").decode().split("\n"))
    except tf.errors.OpError:
        return frozenset()
