"""What a batch job answers, as tables: Parquet, TFRecords or JSON Lines."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any, TypeAlias

import numpy as np
import orjson
import pyarrow
import pyarrow.parquet
from apache_beam.io.filesystems import FileSystems

from preprocessing.data.example_proto import FeatureWriter, example, strings
from preprocessing.data.record_files import framed, write_file
from serving.batch.rows import CONTENT, HASH, pack, unpack

ENDINGS = {"parquet": ".parquet", "tfrecord": ".tfrecord.gz", "jsonl": ".jsonl"}  # any other format's tables: Parquet
PART = ".arrow"  # of what is put aside on the way
# Hashes and floats are noise: to squeeze them, or to look for what repeats in them, only takes time.
_SQUEEZED = dict.fromkeys(("item_id", "request_id", "query", "item_ids.list.element"), "ZSTD")
_IDS, _SCORES, _CHANNELS = (
    pyarrow.list_(pyarrow.field("element", kind)) for kind in (pyarrow.string(), pyarrow.float32(), pyarrow.int32())
)
Keys: TypeAlias = pyarrow.Array | pyarrow.ChunkedArray


def vector_table(ids: Keys, contents: Keys, vectors: np.ndarray) -> pyarrow.Table:
    """`item_id`, `content_hash` and `vector` (float32 [N, dim]) of N items."""
    kind = pyarrow.list_(pyarrow.field("element", pyarrow.float32()), vectors.shape[1])
    lists = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(vectors.reshape(-1)), type=kind)
    return pyarrow.table({"item_id": ids, CONTENT: contents, "vector": lists})


def answer_table(
    ids: Keys,
    contents: Keys,
    queries: Keys,
    items: pyarrow.Array,
    scores: np.ndarray,
    channels: np.ndarray,
    counts: np.ndarray,
) -> pyarrow.Table:
    """`request_id`, `content_hash`, `query`, `item_ids`, `scores` and `channels` of N requests.

    Args:
      ids, contents, queries: `[N]`.
      items, scores, channels: of all answers, one behind the other.
      counts: int `[N]`, how long each answer is.
    """
    found = answer_lists(items, scores, counts)
    by = {"channels": _lists(pyarrow.array(channels, pyarrow.int32()), counts, _CHANNELS)}
    return pyarrow.table({"request_id": ids, CONTENT: contents, "query": queries} | found | by)


def answer_lists(items: pyarrow.Array, scores: np.ndarray, counts: np.ndarray) -> dict[str, pyarrow.Array]:
    """`item_ids` and `scores` of answers, which stand one behind the other."""
    return {
        "item_ids": _lists(items.cast(pyarrow.string()), counts, _IDS),
        "scores": _lists(pyarrow.array(scores, pyarrow.float32()), counts, _SCORES),
    }


def _lists(values: pyarrow.Array, counts: np.ndarray, kind: pyarrow.DataType) -> pyarrow.Array:
    offsets = pyarrow.array(np.concatenate([[0], np.cumsum(counts)]), pyarrow.int32())
    return pyarrow.ListArray.from_arrays(offsets, values, type=kind)


def vectors_of(table: pyarrow.Table) -> np.ndarray:
    """float32 `[N, dim]` of a vector table."""
    column = table["vector"].combine_chunks()
    return np.asarray(column.flatten()).reshape(len(table), -1)


def write_table(path: str, table: pyarrow.Table) -> None:
    """Writes a table as its name says; it is there whole or not at all."""
    write_file(path, _chunks(path, table))


def _chunks(path: str, table: pyarrow.Table) -> Iterator[bytes]:
    if path.endswith(PART):
        yield pack(table)
    elif path.endswith(".parquet"):
        yield _parquet(table)
    elif path.endswith(".jsonl"):
        for row in table.drop_columns([CONTENT]).to_pylist():
            yield orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
    else:
        yield from _examples(table)


def _parquet(table: pyarrow.Table) -> bytes:
    buffer = io.BytesIO()
    pyarrow.parquet.write_table(
        table,
        buffer,
        compression=_SQUEEZED,
        use_dictionary=["item_ids.list.element"],
        write_statistics=["item_id", "request_id"],
    )
    return buffer.getvalue()


def _examples(table: pyarrow.Table) -> Iterator[bytes]:
    """Examples of `item_id`, `content_hash` and `vector`."""
    item_id, content = FeatureWriter("item_id", "string"), FeatureWriter(CONTENT, "string")
    vector = FeatureWriter("vector", "float32")
    rows = zip(table["item_id"].to_pylist(), table[CONTENT].to_pylist(), vectors_of(table), strict=True)
    for one, digest, values in rows:
        entries = (item_id(strings([one.encode()])), content(strings([digest])), vector(values.astype("<f4").tobytes()))
        yield framed(example(entries))


def read_table(path: str) -> pyarrow.Table:
    """A table of one file, or the vectors of a TFRecord file."""
    if not path.endswith(ENDINGS["tfrecord"]):
        with FileSystems.open(path) as file:
            content = file.read()
        return unpack([content]) if path.endswith(PART) else pyarrow.parquet.read_table(io.BytesIO(content))
    import tensorflow as tf  # for workers alone

    records = list(tf.data.TFRecordDataset(path, "GZIP").as_numpy_iterator())
    columns: dict[str, Any] = {name: tf.io.FixedLenFeature([], tf.string) for name in ("item_id", CONTENT)}
    columns["vector"] = tf.io.RaggedFeature(tf.float32)
    parsed = tf.io.parse_example(tf.constant(records, tf.string), columns)
    ids = pyarrow.array([one.decode() for one in parsed["item_id"].numpy().tolist()], pyarrow.string())
    vectors = parsed["vector"].values.numpy().reshape(len(ids), -1)
    return vector_table(ids, pyarrow.array(parsed[CONTENT].numpy().tolist(), HASH), vectors)
