"""Writes to a connection without waiting for the reactor's next turn."""

from typing import Any

from twisted.internet.tcp import Connection


def write_now(transport: Any, data: bytes) -> None:
    """As `transport.write`, but what the socket takes at once goes at once. The reactor would be asked to watch for a
    socket that can be written to, which nearly all can, and then no longer to watch: two system calls and a turn for
    each request and each answer. What was written before goes first, and what is left over goes the usual way, on
    which a connection that is lost is noticed too."""
    if (
        isinstance(transport, Connection)
        and transport.connected
        and not (transport.dataBuffer or transport._tempDataBuffer or transport.TLS)
    ):
        sent = transport.writeSomeData(data)
        if isinstance(sent, int):
            if sent == len(data):
                return
            data = data[sent:]
    transport.write(data)
