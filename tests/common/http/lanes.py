"""What the worlds of both quick lanes share: a connection to a server with or without a lane, what may come on it and
happen to it, and how the two are compared."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from hs_common.http.dispatcher import Dispatcher
from hs_common.http.listener import IDLE_TIMEOUT_S, Listener
from hs_common.http.reception import Reception
from hs_common.http.router import Router
from tests.common.http.served import Observed


class LaneConnection(ABC):
    """One connection. Subclasses say what is behind it, and what was told."""

    def __init__(
        self, clock: Clock, router: Router, dispatcher: Dispatcher, make_lane: Callable[[Reception], Any], **more: Any
    ) -> None:
        self.clock = clock
        self.observed = Observed()
        self.reception = Reception(
            router=router,
            dispatcher=dispatcher,
            observer=self.observed,
            monotonic=clock.seconds,
            date=lambda: "Thu, 01 Jan 1970 00:00:00 GMT",
            new_request_id=lambda: "made-here",
            is_trusted=lambda address: address in ("127.0.0.1", "10.0.0.1"),
            **more,
        )
        self.reception.lane = make_lane(self.reception)
        self.listener = Listener(self.reception, clock)
        self.transport = StringTransport(peerAddress=IPv4Address("TCP", "127.0.0.1", 1))
        self.transport.abortConnection = self._abort  # type: ignore[method-assign]
        channel: Any = self.listener.buildProtocol(None)
        self.channel = channel
        channel.makeConnection(self.transport)
        self.is_lost = self.is_aborted = False

    def _abort(self) -> None:
        self.is_aborted = True
        self.transport.loseConnection()

    @property
    def taken(self) -> int:
        """How many requests took the lane."""
        lane: Any = self.reception.lane
        return int(lane.taken)

    @property
    def is_open(self) -> bool:
        return not (self.transport.disconnecting or self.transport.disconnected)

    def receive(self, data: bytes) -> None:
        if self.is_open:
            self.channel.dataReceived(data)

    def pause(self) -> None:
        """The client takes nothing more for now."""
        if self.is_open:
            self.channel.pauseProducing()

    def resume(self) -> None:
        if self.is_open:
            self.channel.resumeProducing()

    @abstractmethod
    def waiting(self) -> list[Callable[[], None]]:
        """Lets go, each when it is called, those who wait now: not those who come by that."""

    def let_go(self) -> None:
        """All who wait now are let go."""
        self.clock.advance(1.0)
        for go in self.waiting():
            go()

    def lose(self) -> None:
        if not self.is_lost:
            self.is_lost = True
            self.channel.connectionLost(Failure(ConnectionDone()))

    def told(self) -> tuple[Any, ...]:
        """All that can be seen from outside."""
        finished = sorted(one._replace(seconds=round(one.seconds, 3)) for one in self.observed.finished)
        connection = "lost" if self.is_lost else (self.is_open, self.is_aborted, self.transport.producerState)
        return self.transport.value(), connection, self.observed.started, self.observed.forwarded, finished


@st.composite
def streams(draw: Any, pieces: st.SearchStrategy[bytes], most: int) -> bytes:
    """Pieces one after the other, some with a byte changed, left out or put in."""
    data = bytearray(b"".join(draw(st.lists(pieces, min_size=1, max_size=most))))
    for _ in range(draw(st.integers(0, 2)) if draw(st.booleans()) else 0):
        at = draw(st.integers(0, len(data)))
        data[at : at + draw(st.integers(0, 1))] = draw(st.sampled_from([b"", b" ", b"\r", b"\n", b"\0", b":", b"x"]))
    return bytes(data)


@st.composite
def plays(draw: Any, data: st.SearchStrategy[bytes], most_acts: int, ends: list[list[str]]) -> list[bytes | str]:
    """What comes, and what happens meanwhile."""
    acts: list[bytes | str] = []
    for _ in range(draw(st.integers(1, 4))):
        sent = draw(data)
        cuts = sorted(draw(st.lists(st.integers(0, len(sent)), max_size=2))) if draw(st.booleans()) else []
        acts += [sent[start:end] for start, end in zip([0, *cuts], [*cuts, len(sent)], strict=True)]
        others = st.sampled_from(["let_go", "let_go", "pause", "resume", "drain", "wait"])
        acts += draw(st.lists(others, max_size=most_acts))
    return [*acts, *draw(st.sampled_from(ends))]


def act(connection: LaneConnection, what: bytes | str) -> None:
    """Bytes come, or something happens."""
    if isinstance(what, bytes):
        connection.receive(what)
    elif what == "drain":
        connection.listener.announce_end()
    elif what == "wait":
        connection.clock.advance(IDLE_TIMEOUT_S - 1.5)
    else:
        getattr(connection, what)()
    if not connection.is_open:
        connection.lose()  # as a real connection is, once all is written


def check_same(long: LaneConnection, quick: LaneConnection, play: list[bytes | str]) -> None:
    """The play says the same on both."""
    for what in play:
        act(long, what)
        act(quick, what)
        assert quick.told() == long.told(), what
