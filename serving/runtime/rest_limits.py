"""What the REST port bounds, so that nobody can starve gRPC through it: connections, their silence, bodies, values."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator

import numpy as np

from serving.runtime.json_slices import SLICE, structure
from serving.runtime.status import exhausted, invalid

_LONGEST_HEAD = 10.0  # seconds, from a request's first byte (or the connection) to its last header
_LONGEST_IDLE = 75.0  # seconds between two requests of a connection


class Connections:
    """Counts the port's connections, and ends those too many and those that begin a request and do not go on.

    aiohttp has a bound on neither: its clients could hold every file descriptor of the process.
    """

    def __init__(self, protocol: Callable[[], asyncio.Protocol], most: int) -> None:
        self._protocol, self.most = protocol, most
        self.open: dict[asyncio.BaseTransport, Connection] = {}

    def __call__(self) -> asyncio.Protocol:
        return Connection(self, self._protocol())

    @contextlib.contextmanager
    def answering(self, transport: asyncio.BaseTransport | None) -> Iterator[None]:
        """While a request whose headers are there is answered, its connection may be silent."""
        connection = self.open.get(transport) if transport is not None else None
        if connection is None:
            yield
            return
        connection.answering = True
        try:
            yield
        finally:
            connection.answering, connection.begun = False, False
            connection.since = time.monotonic()

    async def sweep(self) -> None:
        """Ends silent connections, for ever."""
        while True:
            await asyncio.sleep(1)
            now = time.monotonic()
            for transport, connection in list(self.open.items()):
                if connection.silent(now):
                    transport.abort()  # type: ignore[attr-defined]


class Connection(asyncio.Protocol):
    """One connection, before aiohttp's own protocol."""

    def __init__(self, connections: Connections, inner: asyncio.Protocol) -> None:
        self._connections, self._inner = connections, inner
        self._transport: asyncio.BaseTransport | None = None
        self.answering = False
        self.begun = True  # a new connection owes its first request
        self.since = time.monotonic()

    def silent(self, now: float) -> bool:
        """Whether nobody can be expected behind it any more."""
        return not self.answering and now - self.since > (_LONGEST_HEAD if self.begun else _LONGEST_IDLE)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Takes it in, where there is room."""
        if len(self._connections.open) >= self._connections.most:
            transport.abort()  # type: ignore[attr-defined]
            return
        self._transport = transport
        self._connections.open[transport] = self
        self._inner.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        """A request begins, or goes on."""
        if not self.answering and not self.begun:
            self.begun, self.since = True, time.monotonic()
        if self._transport is not None:
            self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """The client sends no more."""
        return self._inner.eof_received() if self._transport is not None else None

    def connection_lost(self, error: Exception | None) -> None:
        """It is gone."""
        if self._transport is not None:
            self._connections.open.pop(self._transport, None)
            self._inner.connection_lost(error)

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """It reads again."""
        self._inner.resume_writing()


class Budget:
    """Bytes of large bodies that may be in memory at a time; used in one event loop."""

    def __init__(self, most: int) -> None:
        self._left = most

    @contextlib.contextmanager
    def reserved(self, size: int) -> Iterator[None]:
        """Holds so many bytes, or refuses at once."""
        size = size if size > SLICE else 0  # the number of small ones is bounded by that of calls
        if size > self._left:
            raise exhausted("too many large bodies are being read, no more are taken at a time")
        self._left -= size
        try:
            yield
        finally:
            self._left += size


def check_values(data: bytes, rows: int, values_a_row: int | None) -> None:
    """Refuses a large body of more values than so many rows of a model can have, before it is parsed."""
    if values_a_row is None or len(data) <= SLICE:
        return
    most = (rows + 1) * (values_a_row + 1)
    if values_in(data, most) > most:
        raise invalid(f"more values in one request than {rows} rows of this model have")


def values_in(data: bytes, most: int) -> int:
    """How many values JSON has at most, counted without building one of them, and not far past `most`."""
    count = 1
    for _, characters in structure(data):
        if count > most:
            break
        count += int(np.count_nonzero((characters == ord(",")) | ((characters | 0x20) == ord("{"))))
    return count
