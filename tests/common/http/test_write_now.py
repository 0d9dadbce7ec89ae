"""What is written at once stays in order with what is written otherwise, whatever the other side does."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, connectProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hs_common.http.write_now import write_now
from tests.reactor import reactor, run, until

LARGE = bytes(range(256)) * 40_000  # more than a socket takes at once


class Side(Protocol):
    """One side of a connection."""

    def __init__(self) -> None:
        self.heard = b""
        self.lost = False
        self.made: Deferred[None] = Deferred()

    def connectionMade(self) -> None:
        self.made.callback(None)

    def dataReceived(self, data: bytes) -> None:
        self.heard += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = True


async def pair(near: Side, far: Side) -> Any:
    """Connects the two; gives the listening port."""
    port = reactor.listenTCP(0, Factory.forProtocol(lambda: far), interface="127.0.0.1")
    await connectProtocol(HostnameEndpoint(reactor, "127.0.0.1", port.getHost().port), near)
    await far.made
    return port


def test_all_arrives_in_order() -> None:
    near, far = Side(), Side()

    async def play() -> None:
        port = await pair(near, far)
        transport: Any = near.transport
        write_now(transport, b"first")
        await until(lambda: far.heard == b"first")
        transport.write(b"a")
        write_now(transport, b"b")
        write_now(transport, LARGE)
        write_now(transport, b"c")
        transport.write(b"d")
        transport.loseConnection()
        await until(lambda: far.lost)
        assert far.heard == b"firstab" + LARGE + b"cd"
        await port.stopListening()

    run(play())


def test_a_small_piece_needs_no_turn_of_the_reactor() -> None:
    near, far = Side(), Side()

    async def play() -> None:
        port = await pair(near, far)
        transport: Any = near.transport
        write_now(transport, b"now")
        assert (transport.dataBuffer, transport._tempDataBuffer) == (b"", [])
        await until(lambda: far.heard == b"now")
        transport.loseConnection()
        await until(lambda: far.lost and near.lost)
        await port.stopListening()

    run(play())


def test_a_connection_that_is_lost_is_noticed() -> None:
    near, far = Side(), Side()

    async def play() -> None:
        port = await pair(near, far)
        transport: Any = far.transport
        transport.abortConnection()
        await until(lambda: far.lost)
        for _ in range(3):
            write_now(near.transport, b"x")
        await until(lambda: near.lost)
        write_now(near.transport, b"x")
        await port.stopListening()

    run(play())


def test_other_transports_are_written_to_as_usual() -> None:
    transport = StringTransport()
    write_now(transport, b"x")
    assert transport.value() == b"x"
