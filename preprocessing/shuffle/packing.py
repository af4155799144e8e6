"""Many records as one compact element."""

from __future__ import annotations

import marshal
import struct
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import pyarrow

# What is shuffled is worth a quick squeeze.
_CODEC, _SIZE = pyarrow.Codec("zstd", compression_level=1), struct.Struct("<Q")

R = TypeVar("R", bound=tuple)


def pack(records: Iterable[tuple]) -> bytes:
    """Many records as one compact element: a coder that is asked for each record takes several times as long."""
    plain = marshal.dumps([tuple(record) for record in records])
    return b"".join((_SIZE.pack(len(plain)), _CODEC.compress(plain, asbytes=True)))


def plain_size(batch: bytes) -> int:
    """The bytes of a `pack` before it was squeezed."""
    (size,) = _SIZE.unpack_from(batch)
    return size


def unpack(kind: Callable[[Any], R], batch: bytes) -> list[R]:
    """The records of a `pack`, as `kind` (such as `Search._make`)."""
    plain = _CODEC.decompress(memoryview(batch)[_SIZE.size :], plain_size(batch))
    return list(map(kind, marshal.loads(plain)))
