"""What a batch job answers, as tables: Parquet, TFRecords or JSON Lines."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import orjson
import pyarrow
import pyarrow.parquet
from apache_beam.io.filesystems import FileSystems

from preprocessing.shards import framed, write_file
from preprocessing.wire import FeatureWriter, example, strings

CONTENT = "content_hash"
ENDINGS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz", "jsonl": ".jsonl"}
_HASH = pyarrow.binary(16)
Record = tuple[Any, ...]


def vector_table(records: Sequence[Record]) -> pyarrow.Table:
    """`(item_id, content hash, vector float32 [dim])` of N items."""
    ids, contents, vectors = zip(*records, strict=True)
    flat = np.stack(vectors)
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(flat.reshape(-1)), flat.shape[1])
    return pyarrow.table({"item_id": pyarrow.array(ids), CONTENT: pyarrow.array(contents, _HASH), "vector": lists})


def answer_table(records: Sequence[Record]) -> pyarrow.Table:
    """`(request_id, content hash, query, item ids, scores)` of N requests; the lists are as long as the answers."""
    ids, contents, queries, items, scores = zip(*records, strict=True)
    columns = {
        "request_id": pyarrow.array(ids),
        CONTENT: pyarrow.array(contents, _HASH),
        "query": pyarrow.array(queries),
        "item_ids": pyarrow.array(items, pyarrow.list_(pyarrow.string())),
        "scores": pyarrow.array(scores, pyarrow.list_(pyarrow.float32())),
    }
    return pyarrow.table(columns)


def vectors_of(table: pyarrow.Table) -> np.ndarray:
    """float32 `[N, dim]` of a vector table."""
    column = table["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(table), -1)


def write_table(path: str, table: pyarrow.Table) -> None:
    """Writes a table as its name says; it is there whole or not at all."""
    write_file(path, _chunks(path, table))


def _chunks(path: str, table: pyarrow.Table) -> Iterator[bytes]:
    if path.endswith(".parquet"):
        buffer = io.BytesIO()
        pyarrow.parquet.write_table(table, buffer, compression="zstd", compression_level=1)
        yield buffer.getvalue()
    elif path.endswith(".jsonl"):
        for row in table.drop_columns([CONTENT]).to_pylist():
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    else:
        yield from _examples(table)


def _examples(table: pyarrow.Table) -> Iterator[bytes]:
    """Examples of `item_id`, `content_hash` and `vector`."""
    item_id, content = FeatureWriter("item_id", "string"), FeatureWriter(CONTENT, "string")
    vector = FeatureWriter("vector", "float32")
    rows = zip(table["item_id"].to_pylist(), table[CONTENT].to_pylist(), vectors_of(table), strict=True)
    for one, digest, values in rows:
        entries = (item_id(strings([one.encode()])), content(strings([digest])), vector(values.astype("<f4").tobytes()))
        yield framed(example(entries))


def read_table(path: str) -> pyarrow.Table:
    """A Parquet table, or the vectors of a TFRecord file."""
    if path.endswith(".parquet"):
        with FileSystems.open(path) as file:
            return pyarrow.parquet.read_table(io.BytesIO(file.read()))
    import tensorflow as tf  # for workers alone

    records = list(tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator())
    columns: dict[str, Any] = {name: tf.io.FixedLenFeature([], tf.string) for name in ("item_id", CONTENT)}
    columns["vector"] = tf.io.RaggedFeature(tf.float32)
    parsed = tf.io.parse_example(tf.constant(records, tf.string), columns)
    ids = [one.decode() for one in parsed["item_id"].numpy().tolist()]
    vectors = parsed["vector"].values.numpy().reshape(len(ids), -1)
    return vector_table(list(zip(ids, parsed[CONTENT].numpy().tolist(), vectors, strict=True)))
