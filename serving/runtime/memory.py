"""What a load needed on its way, and what a version leaves behind when it goes, given back to the system."""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator

_M_MMAP_THRESHOLD = -3  # malloc.h
_LARGE = 1 << 20  # bytes


def keep_large_apart() -> None:
    """Has every large piece of memory taken from the system by itself and given back when it is freed.

    glibc raises the size from which it does so, up to 32 MiB, with every large piece that is freed; then the tables of
    a version lie in the heap, and what outlives it between them keeps their pages. A server was seen to grow by
    17 MiB a version so, by 7 with this.
    """
    option = getattr(ctypes.CDLL(None), "mallopt", None)
    if option is not None:
        option(_M_MMAP_THRESHOLD, _LARGE)


def give_back() -> None:
    """Frees what only cycles hold, a graph's objects among it, then the allocator's empty pages.

    Without this a server of a small model was seen to grow from 0.9 to 2.3 GB over ten versions: each load takes
    its memory in pieces, and the few that live on keep the pages between them from being returned.

    What is left is taken out of the collector's sight until the next time. TensorFlow alone is some 300,000 objects,
    and each look at them in between would hold every request up for a tenth of a second and more.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's; others return pages by themselves
    if trim is not None:
        trim(0)


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """For one thread at a time that makes many objects without cycles, among which there is nothing to look for."""
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
