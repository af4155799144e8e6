"""A port that is ours before anything listens on it."""

from __future__ import annotations

import socket


def reserve(host: str, port: int) -> socket.socket:
    """Binds a socket, to a free port where it is 0; `OSError` where that is taken or not ours.

    Nothing listens on it: who connects is refused at once, and tries another server. With a port that listens, a call
    to a server that is still loading would wait for its models.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host.strip("[]"), port, type=socket.SOCK_STREAM)[0]
    reserved = socket.socket(family, kind, protocol)
    try:
        reserved.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # gRPC has it too, and so may bind beside it
        reserved.bind(address)
    except BaseException:
        reserved.close()
        raise
    return reserved
