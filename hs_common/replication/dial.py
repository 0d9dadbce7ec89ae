"""Reaches a master over TCP, by the address that the leader's row or a beat names."""

from typing import Any

from twisted.internet.endpoints import HostnameEndpoint, connectProtocol

from hs_common.replication.frame_protocol import Dial, FrameProtocol


def split_address(address: str) -> tuple[str, int]:
    """The host and port of "host:port" or "[IPv6]:port". Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{address!r} is no address: host:port is wanted")
    return host.removeprefix("[").removesuffix("]"), int(port)


def tcp_dial(reactor: Any) -> Dial:
    """Connects frame protocols over TCP; `reactor` is Twisted's."""

    def dial(address: str, protocol: FrameProtocol) -> Any:
        host, port = split_address(address)
        endpoint: Any = HostnameEndpoint(reactor, host, port)
        return connectProtocol(endpoint, protocol)

    return dial
