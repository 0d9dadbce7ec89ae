"""The reactor's turn in our processes does what Twisted's does, but for the logging context."""

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure

from hs_common.process.polling import poll_plainly


class Told(Protocol):
    """Notes what comes; breaks when it is told to."""

    def __init__(self) -> None:
        self.came = b""
        self.lost: Failure | None = None
        self.is_over: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.came += data
        if data == b"break":
            raise ZeroDivisionError("a bug that is played")
        transport: Any = self.transport
        transport.write(data.upper()) if data.islower() else transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost = reason
        self.is_over.callback(None)


class Pairs(Factory):
    """Keeps what it makes."""

    noisy = False

    def __init__(self) -> None:
        self.made: list[Told] = []

    def buildProtocol(self, addr: Any) -> Told:
        self.made.append(Told())
        return self.made[-1]


def play(said: bytes, *, plainly: bool) -> tuple[bytes, bytes, Any, Any, list[str]]:
    """Says something over a connection on a reactor of its own: what both ends had, how they ended, what was logged."""
    reactor: Any = EPollReactor()
    if plainly:
        poll_plainly(reactor)
    servers, clients = Pairs(), Pairs()
    port = reactor.listenTCP(0, servers, interface="127.0.0.1")
    clients.clientConnectionFailed = clients.startedConnecting = lambda *_: None  # type: ignore[attr-defined]
    clients.clientConnectionLost = lambda *_: None  # type: ignore[attr-defined]
    reactor.connectTCP("127.0.0.1", port.getHost().port, clients)
    with capturedLogs() as logs:
        for _ in range(10_000):
            if said and clients.made and clients.made[0].transport is not None:
                transport: Any = clients.made[0].transport
                transport.write(said)
                said = b""
            if servers.made and servers.made[0].lost is not None and clients.made[0].lost is not None:
                break
            reactor.iterate(0.01)
    port.stopListening()
    reactor.iterate(0)
    reactor.removeAll()
    failures = [
        event.get("log_failure", event.get("failure")) for event in logs if event["log_level"] is LogLevel.critical
    ]
    errors = [failure.type.__name__ for failure in failures if failure is not None]
    server, client = servers.made[0], clients.made[0]
    assert server.lost is not None
    assert client.lost is not None
    return server.came, client.came, server.lost.type, client.lost.type, errors


def test_a_turn_reads_writes_and_ends_connections_as_twisteds_does() -> None:
    for said in (b"hello", b"break"):
        plain = play(said, plainly=True)
        assert plain == play(said, plainly=False)
        assert plain[0] == said
        assert plain[4] == (["ZeroDivisionError"] if said == b"break" else [])


def test_another_reactor_is_left_alone() -> None:
    clock = Clock()
    poll_plainly(clock)
    assert not hasattr(clock, "doIteration")
