"""Items -> the items most like each, by the exported model or by servers that run it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow
import pyarrow.compute

from preprocessing.logs.records import Rejected, optional_identifier
from serving.batch.answer_files import Keys, answer_lists
from serving.batch.inference import Refused, SavedModelHandler, ServersHandler, answers_in_time, too_wide
from serving.batch.rows import CONTENT, ID, Row, column_of, conditions_of, k_of, padded, price_ranges, schema_of
from serving.inputs import FILTER_LISTS, PRICE_RANGE
from serving.retriever.answers import Hit
from serving.retriever.blocking import Retriever

ITEMS = schema_of("item_id", FILTER_LISTS)
_UNKNOWN = "no such item in this version"


class ItemRequestRow:
    """Reads `item_id` with optional `k` and conditions: a catalogue's records are such rows."""

    def __init__(self, k: int) -> None:
        self._k = k

    def __call__(self, fields: Mapping[str, Any]) -> Row:
        item_id, k = optional_identifier(fields, "item_id"), k_of(fields, self._k)
        if not item_id:
            raise Rejected("missing item_id")
        lists, prices = conditions_of(fields)
        content = hashlib.blake2b(orjson.dumps([item_id, k, lists, prices]), digest_size=16).digest()
        return Row(item_id, content, (item_id, k, *lists, prices))


def neighbour_table(
    ids: Keys, contents: Keys, items: pyarrow.Array, scores: np.ndarray, counts: np.ndarray
) -> pyarrow.Table:
    """`item_id`, `content_hash`, `item_ids` and `scores` of N items; the arguments are those of `answer_table`."""
    return pyarrow.table({"item_id": ids, CONTENT: contents} | answer_lists(items, scores, counts))


class ModelNeighbours(SavedModelHandler):
    """Calls `similar`."""

    def answer(self, table: pyarrow.Table, model: Any) -> tuple[pyarrow.Table, Refused]:
        shapes = model.signatures[self._model.signature].inputs
        widths = {name: shapes[name].tensor_shape.dim[1].size for name in FILTER_LISTS}
        k, refused = table["k"].to_numpy(), too_wide(table, widths)
        inputs = {name: padded(table[name], widths[name]) for name in FILTER_LISTS}
        inputs |= {"item_id": column_of(table["item_id"]), "k": k, PRICE_RANGE: price_ranges(table[PRICE_RANGE])}
        found = model.call(self._model.signature, inputs)
        for row in np.flatnonzero(found["known"] == 0).tolist():
            refused.setdefault(row, _UNKNOWN)
        answered = np.full(len(table), True)
        answered[list(refused)] = False
        ids = found["item_ids"]
        there = (ids != b"") & (np.arange(ids.shape[1]) < k[:, np.newaxis]) & answered[:, np.newaxis]
        kept, items = table.filter(pyarrow.array(answered)), pyarrow.array(ids[there], pyarrow.binary())
        counts = there.sum(axis=1)[answered]
        return neighbour_table(kept[ID], kept[CONTENT], items, found["scores"][there], counts), refused


class ServerNeighbours(ServersHandler):
    """Asks servers."""

    def answer(self, table: pyarrow.Table, model: Retriever) -> tuple[pyarrow.Table, Refused]:
        told = self.told(table, lambda row: _ask(model, row))
        keys = told.kept[ID], told.kept[CONTENT]
        return neighbour_table(*keys, told.items, told.scores, told.counts), told.refused


def _ask(retriever: Retriever, row: dict[str, Any]) -> Sequence[Hit] | str:
    conditions = {name: row[name] for name in FILTER_LISTS} | {PRICE_RANGE: tuple(row[PRICE_RANGE])}
    answer = answers_in_time(lambda: retriever.similar(row["item_id"], row["k"], **conditions))
    if isinstance(answer, str):
        return answer
    return answer.hits if answer.known else _UNKNOWN
