"""Reads what a connection has for us without waiting for the reactor's next turn."""

from typing import Any, Final

from twisted.internet.tcp import Connection

PIECE_BYTES: Final = 64 * 1024
"""As the reactor reads. Larger pieces are dearer: the allocator gives their memory back to the system each time."""


def read_now(transport: Any) -> bytes:
    """What is there, one piece at most; empty if that is nothing, or must be read in the usual way: on which the end of
    a connection is noticed too."""
    if not isinstance(transport, Connection) or transport.TLS or not transport.connected or transport.disconnecting:
        return b""
    try:
        return transport.socket.recv(PIECE_BYTES)
    except OSError:  # nothing there; or the connection is lost, which the reactor will see
        return b""
