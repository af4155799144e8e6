"""Vectors as other stores take them in: OpenSearch's bulk lines, Vespa's and Vertex AI's JSON, each with its set-up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import orjson
import pyarrow

from preprocessing.data.record_files import write_file
from serving.batch.answer_files import vectors_of

_LINE = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_APPEND_NEWLINE  # a float32 in the fewest digits that tell it apart


class Feed(NamedTuple):
    """How one store is fed."""

    ending: str  # of its files
    lines: Callable[[str, np.ndarray], Iterator[Any]]  # what is said of an item and its vector, a JSON line each
    setup: str  # the ending of the file that the store is set up with
    set_up: Callable[[int], str]  # what stands in it, by the width of the vectors


def _opensearch(item_id: str, vector: np.ndarray) -> Iterator[Any]:
    """Makes the document, or puts the vector into the one that is there."""
    yield {"update": {"_id": item_id}}
    yield {"doc": {"item_id": item_id, "vector": vector}, "doc_as_upsert": True}


def _opensearch_mapping(dim: int) -> str:
    method = {"name": "hnsw", "engine": "lucene", "space_type": "innerproduct"}
    vector = {"type": "knn_vector", "dimension": dim, "method": method}
    properties = {"item_id": {"type": "keyword"}, "vector": vector}
    return json.dumps({"settings": {"index.knn": True}, "mappings": {"properties": properties}}, indent=1)


def _vespa(item_id: str, vector: np.ndarray) -> Iterator[Any]:
    fields = {"item_id": {"assign": item_id}, "vector": {"assign": {"values": vector}}}
    yield {"update": f"id:items:item::{item_id}", "create": True, "fields": fields}


def _vespa_schema(dim: int) -> str:
    return f"""\
schema item {{
    document item {{
        field item_id type string {{
            indexing: summary | attribute
        }}
        field vector type tensor<float>(x[{dim}]) {{
            indexing: attribute | index
            attribute {{
                distance-metric: dotproduct
            }}
        }}
    }}
    rank-profile nearest {{
        inputs {{
            query(q) tensor<float>(x[{dim}])
        }}
        first-phase {{
            expression: closeness(field, vector)
        }}
    }}
}}
"""


def _vertex(item_id: str, vector: np.ndarray) -> Iterator[Any]:
    yield {"id": item_id, "embedding": vector}


def _vertex_index(dim: int) -> str:
    algorithm = {"treeAhConfig": {"leafNodeEmbeddingCount": 1_000}}
    config = {
        "dimensions": dim,
        "approximateNeighborsCount": 150,
        "distanceMeasureType": "DOT_PRODUCT_DISTANCE",
        "algorithmConfig": algorithm,
    }
    return json.dumps({"config": config}, indent=1)


FEEDS = {
    "opensearch": Feed(".ndjson", _opensearch, "-mapping.json", _opensearch_mapping),
    "vespa": Feed(".jsonl", _vespa, "-item.sd", _vespa_schema),
    "vertex": Feed(".json", _vertex, "-index.json", _vertex_index),
}


def write_feed(path: str, feed: Feed, table: pyarrow.Table) -> None:
    """Writes a vector table as a store takes it in; the file is there whole or not at all."""
    write_file(path, _written(feed, table))


def _written(feed: Feed, table: pyarrow.Table) -> Iterator[bytes]:
    for item_id, vector in zip(table["item_id"].to_pylist(), vectors_of(table), strict=True):
        for line in feed.lines(item_id, vector):
            yield orjson.dumps(line, option=_LINE)
